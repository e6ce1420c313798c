"""Every test starts without accelerate's memory of the last one."""

import pytest


@pytest.fixture(autouse=True)
def fresh_accelerator():
    yield
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
