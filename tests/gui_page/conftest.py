"""One server for the tests of the page, with a few plain pictures; the runs behind it are fake."""

from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser

from tests.page import Gui, Tab, free_port, new_tab


@pytest.fixture(scope="session")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    gui = Gui(tmp_path_factory.mktemp("page"), free_port())
    for path in (gui.pictures, gui.work):
        path.mkdir()
    for i in range(4):
        Image.new("RGB", (96, 64), (40 * i, 90, 200)).save(gui.pictures / f"p{i}.png")
        (gui.pictures / f"p{i}.caption").write_text("a plain colour")
    gui.start()
    yield gui
    gui.stop()


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        yield tab
