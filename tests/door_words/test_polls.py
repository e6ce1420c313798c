"""What open pages cost: asked the same, the server answers once; events are read once a change; hidden pages rest.

How much that is with 200 pages is measured by `python -m benchmarks.open_pages`.
"""

import asyncio
import json
import threading
from collections.abc import Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import psutil
import pytest
from playwright.sync_api import Browser

from benchmarks import open_pages
from kohya_gui.polls import SHARED_S, Asked, Polls
from kohya_gui.runs.events import RunView
from sd_scripts.library import events
from tests.page import Gui, new_tab, served

POLLER = (Path(__file__).resolve().parents[2] / "kohya_gui" / "web" / "poller.js").read_text(encoding="utf-8")
ASKED = Asked("x", 0, 0, "en")
IDLE_S = 3.0


def run(work: Coroutine[Any, Any, Any]) -> Any:
    """Runs it in a thread of its own: in this one the browser's own loop may be running."""
    with ThreadPoolExecutor(1) as threads:
        return threads.submit(asyncio.run, work).result()


def made(asked: list[tuple[Asked, bool]], then: float = 0.0) -> tuple[int, list[bytes]]:
    """How many answers were made for so many pages that ask at once, and what they were given."""
    calls: list[dict] = []
    release = threading.Event()

    def ask(name: str, args: dict) -> dict:
        release.wait(5)
        calls.append(args)
        return {"n": len(calls), "none": float("nan")}

    async def all_of_them() -> list[bytes]:
        polls = Polls(ask)
        tasks = [asyncio.create_task(polls.answer(one, fresh)) for one, fresh in asked]
        await asyncio.sleep(0.05)
        release.set()
        answers = [await task for task in tasks]
        if then:
            await asyncio.sleep(then)
            answers.append(await polls.answer(asked[0][0], False))
        return answers

    answers = run(all_of_them())
    return len(calls), answers


def test_two_hundred_pages_that_ask_the_same_are_one():
    count, answers = made([(ASKED, False)] * 200)
    assert count == 1 and set(answers) == {b'{"n":1,"none":null}'}


def test_what_was_changed_is_seen_at_once_and_anything_after_a_moment():
    assert made([(ASKED, False), (ASKED, True)])[0] == 2
    assert made([(ASKED, False), (Asked("x", 0, 0, "ja"), False)])[0] == 2
    count, answers = made([(ASKED, False)], then=SHARED_S * 1.1)
    assert count == 2 and json.loads(answers[-1])["n"] == 2


def test_who_goes_away_takes_the_answer_from_nobody():
    async def two() -> bytes:
        polls = Polls(lambda name, args: {"ok": True})
        first = asyncio.create_task(polls.answer(ASKED, False))
        await asyncio.sleep(0)
        second = asyncio.create_task(polls.answer(ASKED, False))
        await asyncio.sleep(0)
        first.cancel()
        return await second

    assert run(two()) == b'{"ok":true}'


def test_events_are_read_once_a_change_however_often_they_are_asked_for(tmp_path, monkeypatch):
    path = tmp_path / "events.jsonl"
    opened = []

    def counted(*args: Any) -> Any:
        opened.append(args)
        return open(*args)

    monkeypatch.setattr(events, "open", counted, raising=False)
    view = RunView(path)
    for step in range(3):
        with path.open("a") as stream:
            stream.write(events.to_line(events.Metric(step=step, epoch=1, values={"loss": 1.0})) + "\n")
        for _ in range(200):
            view.update()
    assert len(opened) == 3 and [point.step for point in view.points] == [0, 1, 2]


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with served(tmp_path_factory.mktemp("polls"), pictures=1) as gui:
        yield gui


def test_a_server_that_nobody_asks_rests(gui: Gui):
    """Left to itself, Gradio's queue takes 4 % of a core."""
    assert gui.process
    server = psutil.Process(gui.process.pid)
    assert min(open_pages.load_percent(server, IDLE_S) for _ in range(2)) < 2.0


def test_a_page_that_nobody_sees_asks_once_in_half_a_minute_and_not_for_the_run(browser: Browser, gui: Gui):
    assert f"HIDDEN_MS = {open_pages.HIDDEN_EVERY_S * 1000:.0f}," in POLLER
    run_id = gui.queue_fake("busy", "--steps", "100000", "--step_s", "0.1")
    with new_tab(browser, gui) as tab:
        asked: list[str] = []
        tab.open("runs")
        tab.page.evaluate("id => Studio.fire('show run', id)", run_id)
        tab.page.wait_for_selector("[data-chart=loss] path")
        tab.page.on("request", lambda request: asked.append(request.url))
        with tab.page.expect_request(lambda request: f"poll?run={run_id}" in request.url):
            pass
        tab.page.evaluate(open_pages.HIDE)
        tab.page.wait_for_timeout(500)
        asked.clear()
        tab.page.wait_for_timeout(5000)
        # One more may have been planned while the page was seen; it no longer asks for the run.
        assert len(asked) <= 1 and not [url for url in asked if run_id in url]


def test_the_page_and_the_clients_of_the_benchmark_ask_the_same():
    assert "?since_event=0&log_offset=0&fresh=0&lang=en" in Path(open_pages.__file__).read_text(encoding="utf-8")
