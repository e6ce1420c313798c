"""What many open pages cost the server while a run goes on: `python -m benchmarks.open_pages`.

The visible pages are tabs of Chromium that show the run. Some of the hidden ones are tabs too, told by a script that
nobody sees them; the others are clients that ask what a hidden page asks, as often: so many tabs fit into no machine.
The exit code is 1 where the goal is missed.
"""

import argparse
import os
import statistics
import sys
import tempfile
import threading
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import psutil
from playwright.sync_api import Browser, Page

from benchmarks import steady_run
from benchmarks.rows import Row, at_most, json_file, tell
from benchmarks.stopping import stoppable
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
from tests.page import Gui, chromium, served

MOST_PERCENT = 5.0
SETTLE_S = 10.0
HIDDEN_EVERY_S = 30.0
"""HIDDEN_MS of web/poller.js."""

LOOK_EVERY_S = 1.0
HIDE = """for (const [name, value] of [["hidden", true], ["visibilityState", "hidden"]])
    Object.defineProperty(document, name, { get: () => value });"""
READY = "window.Studio && Studio.store.state.project !== undefined"


@dataclass
class Found:
    """The figures. Answers are timed by a client of its own, which asks once a second for the whole run."""

    cpu_percent: float = 0.0
    idle_percent: float = 0.0
    memory_mb: float = 0.0
    asked: Counter[str] = field(default_factory=Counter)
    answers_ms: list[float] = field(default_factory=list)


def main() -> int:
    """Measures, prints the table, and says whether the goal holds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--visible", type=int, default=10, help="tabs that show the run (default: 10)")
    parser.add_argument("--hidden", type=int, default=190, help="pages that nobody sees (default: 190)")
    parser.add_argument("--tabs", type=int, default=20, help="how many of the hidden ones are tabs (default: 20)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it is measured (default: 60)")
    parser.add_argument("--json", type=json_file, help="also write the figures to this file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, served(Path(folder)) as gui, chromium() as browser:
        run_id = start_run(gui)
        found = measure(gui, browser, run_id, options)
        about = {"gradio": version("gradio"), "chromium": browser.version, "load": round(os.getloadavg()[0], 1)}
    return tell(rows_of(found, options), about, options.json)


def start_run(gui: Gui) -> str:
    """Starts the steady run."""
    argv = [sys.executable, str(Path(steady_run.__file__)), str(gui.work)]
    record = Queue(RunStore(gui.runs_dir)).add(
        "train", "steady", title="Steady", argv=argv, work_dir=str(gui.work), devices=["cpu"]
    )
    return record.id


def measure(gui: Gui, browser: Browser, run_id: str, options: argparse.Namespace) -> Found:
    """Opens all pages, lets them come to rest, and looks at the server for a while."""
    assert gui.process
    server, found = psutil.Process(gui.process.pid), Found()
    time.sleep(SETTLE_S)
    found.idle_percent = load_percent(server, SETTLE_S)
    tabs = [opened(browser, gui, found, hidden=i >= options.visible) for i in range(options.visible + options.tabs)]
    for tab in tabs[: options.visible]:
        tab.evaluate("id => Studio.fire('show run', id)", run_id)
        tab.wait_for_selector("[data-chart=loss] path")
    with hidden_clients(gui, options.hidden - options.tabs, found), answers(gui, run_id, found):
        rest(tabs, SETTLE_S)
        found.asked.clear()
        found.answers_ms.clear()
        before_s, began_s = cpu_s(server), time.monotonic()
        rest(tabs, options.seconds)
        found.cpu_percent = 100 * (cpu_s(server) - before_s) / (time.monotonic() - began_s)
    found.memory_mb = server.memory_info().rss / 1e6
    return found


def rest(tabs: list[Page], seconds: float) -> None:
    """Waits; Playwright tells of requests only while it is asked for something."""
    tabs[0].wait_for_timeout(seconds * 1000)


def opened(browser: Browser, gui: Gui, found: Found, hidden: bool) -> Page:
    """A tab with a storage of its own."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}).new_page()
    if hidden:
        page.add_init_script(HIDE)
    who = "hidden tabs" if hidden else "visible tabs"
    page.on("request", lambda request: found.asked.update([who]))
    page.goto(gui.url)
    page.wait_for_function(READY)
    return page


@contextmanager
def hidden_clients(gui: Gui, number: int, found: Found) -> Iterator[None]:
    """Asks what so many hidden pages ask, each at its own time. Browsers close a silent connection, so each is new."""
    url, over = f"{gui.url}poll?since_event=0&log_offset=0&fresh=0&lang=en", threading.Event()

    def ask() -> None:
        while number and not over.wait(HIDDEN_EVERY_S / number):
            with urllib.request.urlopen(url) as answer:
                answer.read()
            found.asked["hidden clients"] += 1

    with beside(ask, over):
        yield


@contextmanager
def answers(gui: Gui, run_id: str, found: Found) -> Iterator[None]:
    """Times an answer every second: the run whole, which nobody else has asked for."""
    url, over = f"{gui.url}poll?run={run_id}&log_offset=-60000&fresh=1&lang=en", threading.Event()

    def ask() -> None:
        while not over.wait(LOOK_EVERY_S):
            began_s = time.perf_counter()
            with urllib.request.urlopen(url) as answer:
                answer.read()
            found.answers_ms.append(1000 * (time.perf_counter() - began_s))

    with beside(ask, over):
        yield


@contextmanager
def beside(work: Callable[[], None], over: threading.Event) -> Iterator[None]:
    """Runs something in a thread until the block ends. Errors: those of the thread, at the end."""
    with ThreadPoolExecutor(1) as pool:
        working = pool.submit(work)
        try:
            yield
        finally:
            over.set()
        working.result()


def cpu_s(server: psutil.Process) -> float:
    """Time that the server has taken of the processor."""
    times = server.cpu_times()
    return float(times.user + times.system)


def load_percent(server: psutil.Process, seconds: float) -> float:
    """The share of one core that the server takes now."""
    before_s = cpu_s(server)
    time.sleep(seconds)
    return 100 * (cpu_s(server) - before_s) / seconds


def rows_of(found: Found, options: argparse.Namespace) -> list[Row]:
    """The figures, with the goal."""
    slowest_ms = sorted(found.answers_ms)[int(0.95 * len(found.answers_ms))]
    clients = options.hidden - options.tabs
    pages = f"{options.visible} visible tabs, {options.tabs} hidden tabs, {clients} hidden clients"
    goal = at_most(MOST_PERCENT, of="value")
    return [
        Row("processor, of one core", "%", found.cpu_percent, goal=goal, note=f"{pages}; {options.seconds:.0f} s"),
        Row("the same before any page was open", "%", found.idle_percent),
        *(Row(f"requests of {who}", "a second", asked / options.seconds) for who, asked in sorted(found.asked.items())),
        Row("an answer, median", "ms", statistics.median(found.answers_ms)),
        Row("an answer, 95 of 100", "ms", slowest_ms),
        Row("memory of the server", "MB", found.memory_mb),
    ]


if __name__ == "__main__":
    sys.exit(stoppable(main))
