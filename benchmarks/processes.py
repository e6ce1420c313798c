"""Programs as processes of their own: what they say, how long they take, and the most memory that they hold."""

import os
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from benchmarks.stopping import REPOSITORY, started
from sd_scripts.library.ram import peak_ram_bytes

# The peak that a process has reached is asked for while it lives: what it reaches later than this is not seen.
LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds by the clock and on all cores, the peak of its resident memory, and its words."""

    wall_s: float
    cpu_s: float
    peak_mb: float
    said: str


def cost_of(argv: Sequence[str | Path]) -> Cost:
    """Runs Python with arguments. Errors: SystemExit, with what it said, where it fails."""
    began = time.perf_counter()
    with (
        ThreadPoolExecutor(1) as beside,
        started(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process,
    ):
        saying, peak_bytes = beside.submit(process.stdout.read), 0
        while not saying.done():
            peak_bytes = max(peak_bytes, peak_ram_bytes(process.pid))
            wait([saying], LOOK_EVERY_S)
        _, status, usage = os.wait4(process.pid, 0)
        wall_s, process.returncode = time.perf_counter() - began, os.waitstatus_to_exitcode(status)
        process.stdout.close()
    if process.returncode:
        raise failed(argv, process.returncode, saying.result())
    return Cost(wall_s, usage.ru_utime + usage.ru_stime, peak_bytes / 1e6, saying.result())


def run(argv: Sequence[str | Path], cwd: Path = REPOSITORY, env: Mapping[str, str] | None = None) -> str:
    """What Python with arguments has printed. Errors: SystemExit, with what it said besides, where it fails."""
    # Files take whatever it says, while nobody reads.
    with _file() as out, _file() as besides, started(argv, cwd, env, stdout=out, stderr=besides) as process:
        process.wait()
        said, wrong = (_whole(file) for file in (out, besides))
    if process.returncode:
        raise failed(argv, process.returncode, wrong)
    return said


def failed(argv: Sequence[str | Path], code: int, said: str) -> SystemExit:
    """The error that a program was."""
    return SystemExit(f"Error: {' '.join(map(str, argv))} ended with {code}:\n{said}")


def _file() -> Any:
    return tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")


def _whole(file: Any) -> str:
    file.seek(0)
    return str(file.read())


@contextmanager
def only_cores(count: int) -> Iterator[None]:
    """Keeps this process, and those that it starts meanwhile, to the first so many of its cores."""
    before = {name: os.environ.pop(name, None) for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY")}
    pinned = hasattr(os, "sched_setaffinity")
    every = os.sched_getaffinity(0) if pinned else set[int]()
    if pinned:
        os.sched_setaffinity(0, sorted(every)[:count])
    try:
        yield
    finally:
        if pinned:
            os.sched_setaffinity(0, every)
        os.environ |= {name: value for name, value in before.items() if value}
