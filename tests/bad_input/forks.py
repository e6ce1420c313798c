"""Runs a program in a copy of a process that has imported everything: as true as a start, and a second quicker."""

import contextlib
import importlib
import os
import resource
import runpy
import signal
import sys
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TextIO

ROOT = Path(__file__).parents[2]
LONGEST_S = 60.0
MOST_BYTES = 10**9


@dataclass(frozen=True)
class Ended:
    """How a program ended: exit code (minus a signal's number), what it said, time, and memory beyond the imports'."""

    code: int
    said: str
    took_s: float
    grown_bytes: int
    late: bool


def run_script(script: str, argv: list[str], here: Path, longest_s: float = LONGEST_S) -> Ended:
    """Runs a script as a program, with limits of time and memory."""
    output = here.with_name(here.name + ".said")
    before = time.monotonic()
    child = os.fork()
    if not child:
        _become(script, argv, here, output)
    status, used, late = _waited(child, before + longest_s)
    said = output.read_text(encoding="utf-8", errors="backslashreplace")
    output.unlink()
    grown = used.ru_maxrss * 1024 - _resident_bytes()
    code = os.waitstatus_to_exitcode(status)
    return Ended(code, said, time.monotonic() - before, grown, late)


def _waited(child: int, until: float) -> tuple[int, resource.struct_rusage, bool]:
    while time.monotonic() < until:
        ended, status, used = os.wait4(child, os.WNOHANG)
        if ended:
            return status, used, False
        time.sleep(0.005)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    _, status, used = os.wait4(child, 0)
    return status, used, True


def _become(script: str, argv: list[str], here: Path, output: Path) -> None:
    """What the child does: never returns."""
    code = 70
    try:
        os.setsid()
        file = os.open(output, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, 1)
        os.dup2(file, 2)
        sys.stdout, sys.stderr = _stream(1), _stream(2)
        held = _data_bytes()
        resource.setrlimit(resource.RLIMIT_DATA, (held + 2 * MOST_BYTES, held + 2 * MOST_BYTES))
        os.chdir(here)
        path = ROOT / "sd_scripts" / script
        sys.argv = [str(path), *argv]
        sys.path.insert(0, str(path.parent))
        runpy.run_path(str(path), run_name="__main__")
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            if names := os.environ.get("BAD_INPUT_MODULES"):
                Path(names).write_text(" ".join(sorted(sys.modules)))
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)


def _stream(number: int) -> TextIO:
    return open(number, "w", encoding="utf-8", errors="backslashreplace", closefd=False)


def _data_bytes() -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmData"))


def _resident_bytes() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def import_all_of(names: list[str]) -> None:
    """Imports modules, those that a script has imported in a run; what cannot be imported alone is left."""
    for name in names:
        with contextlib.suppress(Exception):
            importlib.import_module(name)
