"""One server for the proofs: the page, the worker and the scripts, all of them real.

SCREENSHOTS names the folder for the pictures of the page; without it they lie in pytest's temporary folder.
"""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.page import Gui, Tab, new_tab, served


@pytest.fixture(scope="session")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with served(tmp_path_factory.mktemp("browser"), pictures=0) as gui:
        yield gui


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        yield tab
    # A test that failed leaves nothing running for the next one to wait for.
    gui.end_runs()
