"""One project for all programs that are stopped."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.stopping.program import make_project


@pytest.fixture(scope="package")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project to train in."""
    return make_project(tmp_path_factory.mktemp("stopping") / "project")


@pytest.fixture(autouse=True)
def fresh_accelerator() -> Iterator[None]:
    """Every test starts without accelerate's memory of the last one."""
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
