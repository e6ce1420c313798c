"""Every test starts without accelerate's memory of the last one."""

from tests.train.conftest import fresh_accelerator

__all__ = ["fresh_accelerator"]
