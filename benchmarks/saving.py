"""How fast models and states are saved, beside a plain write of the same bytes: `python -m benchmarks.saving --help`.

The plain write makes a file of the same size from memory, flushes it to the disk and renames it. Ours also checks that
the file reads back and tells its SHA-256.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.alternating import alternating
from benchmarks.models import make_model
from benchmarks.rows import Given, Row, at_least, stage
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.report import Report
from sd_scripts.library.train.saving import is_whole

LOADERS = {"sd1": sd.load, "sdxl": sdxl.load}
PIECE_BYTES = 1 << 24


def measure(given: Given) -> list[Row]:
    """A whole model as it is, and one that is saved in half the bytes of its training."""
    size = "tiny" if given.quick else "true"
    families = ("sd1",) if given.quick or given.device == "cpu" else ("sd1", "sdxl")
    rows = []
    for name in families:
        model = LOADERS[name](str(make_model(given.room / "base.safetensors", name, size, torch.float16)))
        (given.room / "base.safetensors").unlink()
        for dtype, what in ((None, "fp16 as trained"), (torch.bfloat16, "fp16 as bf16")):
            rows.append(_row(f"{name}, {what}, .safetensors", model, dtype, given))
    return rows


def _row(what: str, model: Family, dtype: torch.dtype | None, given: Given) -> Row:
    saved = partial(saved_s, model, dtype, given.room)
    size_bytes = saved()[1]
    bare = partial(plain_s, given.room / "plain", size_bytes)
    ours_s, bare_s, ratio = alternating(lambda: saved()[0], bare, given.rounds)
    rate = partial(lambda seconds: size_bytes / 1e6 / seconds)
    return Row(what, "MB/s", rate(ours_s), rate(bare_s), at_least(0.8), f"{size_bytes / 1e9:.2f} GB", 1 / ratio)


def saved_s(model: Family, dtype: torch.dtype | None, room: Path) -> tuple[float, int]:
    """(seconds, bytes) of saving as trainers do."""
    settle()
    began = time.perf_counter()
    path = model.save(SaveRequest(room / "saved", "safetensors", dtype, {}))
    assert is_whole(path)
    Report().saved(path, "model")
    return time.perf_counter() - began, removed(path)


def plain_s(path: Path, size_bytes: int) -> float:
    """Seconds of a plain write of so many bytes that lie in memory, flushed and renamed."""
    data = memoryview(bytearray(os.urandom(min(size_bytes, PIECE_BYTES))))
    settle()
    began = time.perf_counter()
    beside = path.with_suffix(".part")
    with open(beside, "wb", buffering=0) as file:
        left = size_bytes
        while left:
            left -= file.write(data[:left])
        os.fsync(file.fileno())
    os.replace(beside, path)
    took_s = time.perf_counter() - began
    removed(path)
    return took_s


def removed(path: Path) -> int:
    """Removes a file; its size."""
    size_bytes = path.stat().st_size
    path.unlink()
    return size_bytes


def settle() -> None:
    """What was written before does not slow down what follows."""
    sync: Callable[[], None] = getattr(os, "sync", lambda: None)
    sync()


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
