"""What tests of several folders share."""

import gc
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from sd_scripts.library.data.read_ahead import glibc
from tests.page import chromium


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """One Chromium a process: playwright cannot be started twice in one."""
    with chromium() as browser:
        yield browser


@pytest.fixture(scope="module", autouse=True)
def memory_given_back() -> Iterator[None]:
    """What a file of tests leaves behind would add up to gigabytes: programs look for it rarely, and glibc keeps it."""
    yield
    gc.collect()
    if libc := glibc():
        libc.malloc_trim(0)
