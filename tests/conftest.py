"""What tests of several folders share."""

import ctypes
import gc
import sys
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

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
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
