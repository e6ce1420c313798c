"""The page from another machine, on plain http: with its password all works, and what browsers refuse is said."""

import os
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from sd_scripts.library.systems import free_port
from tests.page import CHROMIUM, FLAGS, REPOSITORY, Gui, Tab

NAME = "studio.test"
"""A name that is not this machine's: a page under it, on plain http, is not trusted by browsers."""


class RemoteGui(Gui):
    """The same, listening on every network, with a password, and known under a name."""

    @property
    def url(self) -> str:
        return f"http://{NAME}:{self.port}/"

    def start(self) -> None:
        argv = ["gui.py", "--server_port", str(self.port), "--runs_dir", str(self.runs_dir), "--root", str(self.folder)]
        argv += ["--listen", "0.0.0.0", "--allowed_host", NAME, "--username", "ann", "--password", "open sesame"]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "HOME": str(self.folder)}
        self.process = subprocess.Popen(
            [sys.executable, *argv], cwd=REPOSITORY, env=environment,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip
        assert self.process.stdout
        assert "The page is at" in self.process.stdout.readline()


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RemoteGui]:
    gui = RemoteGui(tmp_path_factory.mktemp("remote"), free_port())
    for path in (gui.pictures, gui.work):
        path.mkdir(parents=True)
    Image.new("RGB", (96, 64), (40, 90, 200)).save(gui.pictures / "p.png")
    (gui.pictures / "p.caption").write_text("a plain colour")
    gui.start()
    yield gui
    gui.stop()
    assert "Error" not in gui.said and "Traceback" not in gui.said and "open sesame" not in gui.said, gui.said


@pytest.fixture(scope="module")
def far_browser(browser: Browser) -> Iterator[Browser]:
    """A browser to which the name leads here."""
    rules = f"--host-resolver-rules=MAP {NAME} 127.0.0.1"
    far = browser.browser_type.launch(executable_path=CHROMIUM, args=[*FLAGS, rules])
    yield far
    far.close()


@pytest.fixture(scope="module")
def far(far_browser: Browser, gui: RemoteGui) -> Iterator[Tab]:
    """A tab in which somebody has logged in."""
    tab = Tab(far_browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US").new_page(), gui)
    page = tab.page
    page.goto(gui.url)
    log_in(page, "ann", "wrong")
    expect(page.get_by_text("Incorrect Credentials")).to_be_visible()
    assert status(page, "file?path=x") == status(page, "tensorboard/6006/") == 401
    log_in(page, "ann", "open sesame")
    page.wait_for_function("window.Studio && Studio.store.state.project !== undefined")
    yield tab
    assert tab.errors == [] and tab.foreign == []


def log_in(page: Page, name: str, password: str) -> None:
    page.locator("input").nth(0).fill(name)
    page.locator("input[type=password]").fill(password)
    page.get_by_role("button", name="Login").click()


def status(page: Page, path: str) -> int:
    """What the server answers to this browser."""
    code: int = page.evaluate("path => fetch(`/${path}`).then(answer => answer.status)", path)
    return code


def test_the_page_works_and_shows_pictures(far: Tab, gui: RemoteGui) -> None:
    page = far.page
    assert not page.evaluate("window.isSecureContext"), "this test is about pages that the browser does not trust"
    far.make_project()
    far.select("metadata")
    page.locator("section[aria-labelledby=step-merge_captions] [data-do=start]").click()
    page.wait_for_function("Studio.runs.lists().history.some(row => row.stage === 'merge_captions')")
    shown = """async path => {
        const answer = await fetch(`/file?path=${encodeURIComponent(path)}`);
        return (await createImageBitmap(await answer.blob())).width;
    }"""
    assert page.evaluate(shown, str(gui.pictures / "p.png")) == 96


def test_what_the_browser_refuses_is_said_and_has_another_way(far: Tab) -> None:
    page = far.page
    expect(page.locator(".kg-note", has_text="This browser shows no notifications here")).to_be_visible()
    assert page.evaluate("typeof navigator.clipboard") == "undefined"
    far.select("caption")
    command = page.locator(".kg-rail:visible pre.cmd")
    expect(command).to_contain_text("make_captions.py")
    page.locator(".kg-rail:visible [data-do=copy]").click()
    expect(page.locator(".kg-note", has_text="On plain http browsers let no page copy")).to_be_visible()
    expect(command).to_be_focused()
    words = "(text) => text.split(/\\s+/).filter(Boolean).join(' ')"
    selected = f"({words})(getSelection().toString())"
    page.wait_for_function(f"text => {selected} === ({words})(text)", arg=command.inner_text())


def test_tensorboard_opens_through_the_page(far: Tab) -> None:
    """It listens on the server's machine only; the page hands it on to who is logged in."""
    page = far.page
    page.locator("[data-do=board]").click()
    button = page.locator(".kg-note", has_text="TensorBoard runs").get_by_role("button", name="Open")
    expect(button).to_be_visible()
    with page.context.expect_page() as opened:
        button.click()
    board = opened.value
    expect(board).to_have_url(re.compile(rf"^http://{NAME}:\d+/tensorboard/\d+/"))
    expect(board).to_have_title("TensorBoard")
    board.wait_for_function("document.body.textContent.includes('No dashboards are active')")
    port = int(board.url.split("/")[-2])
    assert status(page, f"tensorboard/{port + 1}/") == 404, "it leads to TensorBoards only"
    board.close()


@pytest.mark.parametrize("foreign", [{"Host": "evil.test"}, {"Origin": "http://evil.test"}])
def test_other_names_and_other_sites_are_refused(gui: RemoteGui, foreign: dict[str, str]) -> None:
    asked = urllib.request.Request(f"http://127.0.0.1:{gui.port}/", headers=foreign)
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(asked, timeout=60)
    assert refused.value.code == 403
    refused.value.close()
