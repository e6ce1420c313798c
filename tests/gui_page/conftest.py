"""One server for the tests of the page, with a few plain pictures; the runs behind it are fake."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.page import Gui, Tab, new_tab, served


@pytest.fixture(scope="session")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with served(tmp_path_factory.mktemp("page")) as gui:
        yield gui


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        yield tab
