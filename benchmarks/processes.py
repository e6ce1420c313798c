"""Programs as processes of their own: how long they take, and the most memory that they hold."""

import os
import subprocess
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.ram import peak_ram_bytes

REPOSITORY = Path(__file__).resolve().parents[1]

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
    process = subprocess.Popen(
        [sys.executable, *map(str, argv)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert process.stdout is not None
    with process.stdout as out, ThreadPoolExecutor(1) as beside:
        saying, peak_bytes = beside.submit(out.read), 0
        try:
            while not saying.done():
                peak_bytes = max(peak_bytes, peak_ram_bytes(process.pid))
                wait([saying], LOOK_EVERY_S)
        except KeyboardInterrupt:
            process.kill()
            raise
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise SystemExit(f"Error: {' '.join(map(str, argv))} ended with {process.returncode}:\n{saying.result()}")
    return Cost(time.perf_counter() - began, usage.ru_utime + usage.ru_stime, peak_bytes / 1e6, saying.result())
