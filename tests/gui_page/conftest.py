"""The page as a user meets it: gui.py in a process of its own, and headless Chromium."""

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, sync_playwright

from kohya_gui.runs import fake_trainer
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore

REPOSITORY = Path(__file__).resolve().parents[2]
CHROMIUM = os.environ.get("CHROMIUM_PATH", "/usr/bin/chromium")
FLAGS = [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
]  # fmt: skip


@dataclass
class Gui:
    """The page's server, which can be stopped and started again on the same port."""

    folder: Path
    port: int
    process: subprocess.Popen[str] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    @property
    def pictures(self) -> Path:
        return self.folder / "pictures"

    @property
    def work(self) -> Path:
        return self.folder / "work"

    def start(self) -> None:
        command = [sys.executable, "gui.py", "--server_port", str(self.port), "--headless"]
        command += ["--runs_dir", str(self.folder / "data" / "runs"), "--root", str(self.folder)]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        self.process = subprocess.Popen(
            command, cwd=REPOSITORY, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert "The page is at" in line, line + self.process.stdout.read()

    def stop(self) -> None:
        assert self.process and self.process.stdout
        self.process.terminate()
        self.process.wait(timeout=20)
        self.process.stdout.close()

    def queue_fake(self, name: str, *args: str) -> str:
        """Puts a fake trainer into the queue, as a training; returns its id."""
        return self.queue_chain((name, *args))[0]

    def queue_chain(self, *runs: tuple[str, ...]) -> list[str]:
        """Puts fake trainers into the queue, each after the one before; each is its name and its arguments."""
        queue = Queue(RunStore(self.folder / "data" / "runs"))
        facts = {"stage": "train", "title": "Fake", "work_dir": str(self.work), "devices": ["cpu"], "project": "meadow"}
        program = [sys.executable, str(Path(fake_trainer.__file__))]
        steps = [{**facts, "name": name, "argv": [*program, *args]} for name, *args in runs]
        return [record.id for record in queue.add_chain(steps)]


@pytest.fixture(scope="session")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    folder = tmp_path_factory.mktemp("page")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        gui = Gui(folder, probe.getsockname()[1])
    for path in (gui.pictures, gui.work):
        path.mkdir()
    for i in range(4):
        Image.new("RGB", (96, 64), (40 * i, 90, 200)).save(gui.pictures / f"p{i}.png")
        (gui.pictures / f"p{i}.caption").write_text("a plain colour")
    gui.start()
    yield gui
    gui.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield browser
        browser.close()


class Tab:
    """One browser tab on the page. Every error of its scripts, and every foreign address, is kept."""

    def __init__(self, page: Page, gui: Gui) -> None:
        self.page = page
        self.gui = gui
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(15_000)
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

    def make_project(self, name: str = "meadow") -> None:
        """Creates a project by hand, unless it is there; then opens it."""
        self.open()
        known = self.page.evaluate("Studio.store.state.projects.map(one => one.name)")
        if name not in known:
            if known:
                self.page.evaluate("Studio.store.take(null)")
            self.page.fill("#pr-name", name)
            self.page.fill("#pr-pictures-0", str(self.gui.pictures))
            self.page.fill("#pr-work_dir", str(self.gui.work))
            self.page.click("[data-do=create]")
        else:
            self.page.evaluate("name => Studio.store.open(name)", name)
        self.page.wait_for_function("name => Studio.store.state.project?.name === name", arg=name)
        self.page.wait_for_selector("[data-do=pipeline]")


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    tab = Tab(context.new_page(), gui)
    yield tab
    context.close()
    assert tab.errors == []
    assert tab.foreign == []
