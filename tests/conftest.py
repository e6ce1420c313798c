"""What tests of several folders share."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from tests.page import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium a process: playwright cannot be started twice in one."""
    with chromium() as browser:
        yield browser
