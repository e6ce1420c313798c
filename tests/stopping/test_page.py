"""The page while a run waits for room: what it says, and the three ways out."""

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.worker import Worker
from sd_scripts.library.errors import BadOption
from tests.page import Gui, Tab, new_tab, served

WAITS = str(Path(__file__).with_name("waits.py"))
NEEDED = ("x.json", "y.json")


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    folder = tmp_path_factory.mktemp("pauses")
    os.environ["FULL_FOLDER"] = str(folder / "full")
    with served(folder, pictures=1) as gui:
        yield gui
    del os.environ["FULL_FOLDER"]


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        tab.make_project()
        yield tab
    gui.end_runs()


def waiting(gui: Gui, tab: Tab, name: str) -> tuple[Queue, str]:
    """A run that waits for room, chosen in the Runs tab."""
    queue = Queue(RunStore(gui.runs_dir))
    run = queue.add("train", name, title="", argv=[sys.executable, WAITS, *NEEDED], work_dir=str(gui.work)).id
    tab.select("runs")
    tab.page.locator(f'[data-run="{run}"]').click()
    expect(tab.page.locator(".stall h2")).to_have_text("Paused: the disk is full")
    return queue, run


def ended(queue: Queue, run: str):
    deadline = time.monotonic() + 20
    while (outcome := queue.store.outcome(run)) is None:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return outcome


def test_a_pause_is_said_and_it_saves_elsewhere(tab: Tab, gui: Gui) -> None:
    queue, run = waiting(gui, tab, "full")
    page, stall = tab.page, tab.page.locator(".stall")
    expect(stall).to_contain_text("No space left on device")
    expect(stall).to_contain_text("4.2 GB needed")
    expect(page.locator(f'[data-row="{run}"] .st')).to_have_text("Paused")
    expect(page.locator(".kg-rb .st")).to_have_text("Paused")
    tab.shot("paused")
    stall.get_by_role("button", name="Try again").click()
    expect(page.get_by_text("It is tried again.").first).to_be_visible()
    expect(stall).to_be_visible()
    stall.get_by_role("button", name="Save elsewhere…").click()
    other = gui.work / "other"
    (other / "inside").mkdir(parents=True)
    page.locator("dialog [name=path]").fill(str(other))
    page.locator("dialog [name=path]").press("Enter")
    expect(page.locator("dialog .pb-list")).to_contain_text("inside")
    page.locator("dialog [data-choose]").click()
    expect(page.get_by_text(f"From now on it is saved in {other}.").first).to_be_visible()
    assert ended(queue, run).state == "done"
    assert (other / "X.safetensors").read_text() == "weights"
    expect(stall).to_have_count(0)


def test_it_is_left_without_saving(tab: Tab, gui: Gui) -> None:
    queue, run = waiting(gui, tab, "left")
    tab.page.locator(".stall").get_by_role("button", name="Stop without saving").click()
    expect(tab.page.locator("dialog")).to_contain_text("What still waits to be saved is lost")
    tab.page.locator("dialog").get_by_role("button", name="Stop").click()
    outcome = ended(queue, run)
    assert (outcome.state, outcome.exit_code, outcome.kind) == ("failed", 1, "disk_full")
    assert outcome.sentence.startswith("Left as asked: ")


def test_a_stop_from_before_the_pause_never_kills_it_and_other_folders_are_refused(tab: Tab, gui: Gui) -> None:
    queue, run = waiting(gui, tab, "late")
    answer = tab.page.evaluate("id => Studio.call('run_save_elsewhere', {id, folder: '/etc'})", run)
    assert "lies outside" in answer["error"]
    with pytest.raises(BadOption):
        queue.request(run, "save_elsewhere")
    store = RunStore(gui.runs_dir)
    worker = Worker(store, stop_grace_s=0.0)
    # As if the stop had come first: this is what the worker sees then.
    control = store.control_path(run)
    control.write_text('{"request": "stop", "time": 1.0}\n')
    assert not worker._must_end(run)
    control.write_text('{"request": "kill", "time": 1.0}\n')
    assert worker._must_end(run)
