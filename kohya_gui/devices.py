"""The devices of this machine, asked of the driver: no torch is needed."""

import functools
import os
from dataclasses import dataclass


@dataclass(frozen=True)
class Gpu:
    """A GPU as its driver names it."""

    name: str
    memory_bytes: int


@functools.cache
def gpus() -> list[Gpu]:
    """The GPUs of NVIDIA's driver; none where there is no driver."""
    import pynvml

    try:
        pynvml.nvmlInit()
        handles = [pynvml.nvmlDeviceGetHandleByIndex(i) for i in range(pynvml.nvmlDeviceGetCount())]
        return [Gpu(str(pynvml.nvmlDeviceGetName(h)), int(pynvml.nvmlDeviceGetMemoryInfo(h).total)) for h in handles]
    except pynvml.NVMLError:
        return []


def names() -> list[str]:
    """The devices that a heavy run uses, each of which only one run may have at a time.

    Those that CUDA_VISIBLE_DEVICES lists; none listed: all GPUs; without a GPU, the processor.
    """
    listed = os.environ.get("CUDA_VISIBLE_DEVICES")
    if listed is not None:
        return [f"gpu:{one.strip()}" for one in listed.split(",") if one.strip() not in ("", "-1")] or ["cpu"]
    return [f"gpu:{i}" for i in range(len(gpus()))] or ["cpu"]
