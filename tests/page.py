"""The page as a user meets it: gui.py in a process of its own, and one tab of headless Chromium."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from PIL import Image
from playwright.sync_api import Browser, Page, expect, sync_playwright

from kohya_gui.runs import fake_trainer
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import Outcome, RunStore
from sd_scripts.library import events
from sd_scripts.library.systems import free_port

REPOSITORY = Path(__file__).resolve().parents[1]
CHROMIUM = os.environ.get("CHROMIUM_PATH", "/usr/bin/chromium")
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip
PATIENCE_MS = 180_000
"""Anything may take so long on a machine that does much else; nothing waits longer than what it waits for."""
expect.set_options(timeout=PATIENCE_MS)

T = TypeVar("T")


def until(holds: Callable[[], T], what: str) -> T:
    """Waits until something holds that the page does not show; what it gave."""
    deadline = time.monotonic() + PATIENCE_MS / 1000
    while not (found := holds()):
        assert time.monotonic() < deadline, what
        time.sleep(0.05)
    return found


@contextmanager
def chromium() -> Iterator[Browser]:
    """Headless Chromium."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


@dataclass
class Gui:
    """The page's server, which can be stopped and started again on the same port. All it keeps lies in `folder`.

    `said` is what its console told until it ended.
    """

    folder: Path
    port: int
    process: subprocess.Popen[str] | None = None
    said: str = ""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    @property
    def shots(self) -> Path:
        """Where screenshots are kept: the folder named by SCREENSHOTS, else pytest's own for this session."""
        return Path(os.environ.get("SCREENSHOTS", self.folder / "screenshots"))

    @property
    def runs_dir(self) -> Path:
        return self.folder / "data" / "runs"

    def start(self) -> None:
        command = [sys.executable, "gui.py", "--server_port", str(self.port), "--headless"]
        command += ["--runs_dir", str(self.runs_dir), "--root", str(self.folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert "The page is at" in line, line + self.process.stdout.read()

    def stop(self) -> None:
        assert self.process
        self.process.terminate()
        self._collect()

    def kill(self) -> None:
        """Ends the server as a crash would: nothing is tidied up."""
        assert self.process
        self.process.kill()
        self._collect()

    def _collect(self) -> None:
        assert self.process and self.process.stdout
        self.process.wait(timeout=PATIENCE_MS / 1000)
        self.said += self.process.stdout.read()
        self.process.stdout.close()

    def end_runs(self) -> None:
        """Ends what still runs, whatever the server does."""
        queue = Queue(RunStore(self.runs_dir))
        for run_id in queue.store.ids():
            if queue.store.status(run_id).outcome is None:
                queue.request(run_id, "kill")
        until(lambda: all(queue.store.outcome(run_id) for run_id in queue.store.ids()), "A run cannot be ended.")

    def past_training(
        self, name: str, told: list[events.Event], outcome: Outcome, values: dict[str, Any], log: str = ""
    ) -> str:
        """Records a training that has ended, with what it told; returns its id."""
        store = RunStore(self.runs_dir)
        facts = {"title": "", "argv": ["x"], "work_dir": ".", "values": values, "project": "meadow"}
        # What is found unfinished and not in the queue is taken for cut short: nobody may look before it is complete.
        with Queue(store).changing():
            run_id = store.create("train", name, **facts).id
            store.events_path(run_id).write_text("".join(events.to_line(event) + "\n" for event in told))
            store.log_path(run_id).write_text(log)
            store.finish(run_id, outcome)
        return run_id

    def queue_fake(self, name: str, *args: str) -> str:
        """Puts a fake trainer into the queue, as a training; returns its id."""
        return self.queue_chain((name, *args))[0]

    def queue_chain(self, *runs: tuple[str, ...]) -> list[str]:
        """Puts fake trainers into the queue, each after the one before; each is its name and its arguments."""
        queue = Queue(RunStore(self.runs_dir))
        facts = {"stage": "train", "title": "Fake", "work_dir": str(self.work), "devices": ["cpu"], "project": "meadow"}
        program = [sys.executable, str(Path(fake_trainer.__file__))]
        steps = [{**facts, "name": name, "argv": [*program, *args]} for name, *args in runs]
        return [record.id for record in queue.add_chain(steps)]


@contextmanager
def served(folder: Path, pictures: int = 4) -> Iterator[Gui]:
    """A server with a folder of plain pictures and their captions. At its end nothing runs on, nor went wrong in it."""
    gui = Gui(folder, free_port())
    for path in (gui.pictures, gui.work, gui.shots):
        path.mkdir(parents=True, exist_ok=True)
    for i in range(pictures):
        Image.new("RGB", (96, 64), (40 * i, 90, 200)).save(gui.pictures / f"p{i}.png")
        (gui.pictures / f"p{i}.caption").write_text("a plain colour")
    gui.start()
    yield gui
    gui.end_runs()
    gui.stop()
    # Errors are told in the page; one that only the console knows is a fault.
    assert "Error" not in gui.said and "Traceback" not in gui.said, gui.said


class Tab:
    """One browser tab on the page. Every error of its scripts, and every foreign address, is kept."""

    def __init__(self, page: Page, gui: Gui) -> None:
        self.page = page
        self.gui = gui
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.context.set_default_timeout(PATIENCE_MS)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("request", lambda request: self._judge(request.url))

    def _judge(self, url: str) -> None:
        if not url.startswith((self.gui.url, "data:", "blob:")):
            self.foreign.append(url)

    def open(self, tab: str = "project") -> None:
        """Loads the page, waits until it knows its project, and opens a tab."""
        self.page.goto(self.gui.url)
        self.page.wait_for_function("window.Studio && Studio.store.state.project !== undefined")
        self.select(tab)

    def select(self, tab: str) -> None:
        self.page.evaluate("tab => Studio.tabs.open(tab)", tab)
        self.page.wait_for_selector(f'[data-view="{tab}"] > *')

    def make_project(self, name: str = "meadow", pictures: list[Path] | None = None, model: Path | None = None) -> None:
        """Creates a project by hand, unless it is there; then opens it."""
        self.open()
        known = self.page.evaluate("Studio.store.state.projects.map(one => one.name)")
        if name not in known:
            if known:
                self.page.evaluate("Studio.store.take(null)")
            self._type_project(name, pictures or [self.gui.pictures], model)
        else:
            self.page.evaluate("name => Studio.store.open(name)", name)
        self.page.wait_for_function("name => Studio.store.state.project?.name === name", arg=name)
        self.page.wait_for_selector("[data-do=pipeline]")

    def _type_project(self, name: str, pictures: list[Path], model: Path | None) -> None:
        self.page.fill("#pr-name", name)
        for i, folder in enumerate(pictures):
            if i:
                self.page.click("[data-do=add]")
            self.page.fill(f"#pr-pictures-{i}", str(folder))
        self.page.fill("#pr-model", str(model or ""))
        self.page.fill("#pr-work_dir", str(self.gui.work / name))
        self.page.click("[data-do=create]")

    def fill(self, stage: str, **values: object) -> None:
        """Types values into a stage's form, each at its field, which is looked up by the option's name."""
        for flag, value in values.items():
            self.page.evaluate("there => Studio.search.go(there)", {"stage": stage, "flag": flag})
            box = self.page.locator(f"#f-{stage}-{flag}")
            expect(box).to_be_focused()
            if isinstance(value, bool):
                box.set_checked(value)
            else:
                box.fill(str(value))

    def settled(self) -> Page:
        """Waits until the server has answered all that the forms in sight ask; gives the page."""
        busy = "[...document.querySelectorAll('[aria-busy=true]')].some(one => one.checkVisibility())"
        self.page.wait_for_function(f"!{busy}")
        return self.page

    def fits(self, width_px: int = 390) -> None:
        """Waits until nothing is wider than the window."""
        self.page.wait_for_function("px => document.documentElement.scrollWidth <= px", arg=width_px)

    def shot(self, name: str) -> None:
        """Keeps a picture of what the tab shows."""
        self.page.screenshot(path=self.gui.shots / f"{name}.png")


@contextmanager
def new_tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    """A tab of its own storage; at its end nothing may have gone wrong in its scripts, nor left this machine."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    tab = Tab(context.new_page(), gui)
    yield tab
    context.close()
    assert tab.errors == []
    assert tab.foreign == []
