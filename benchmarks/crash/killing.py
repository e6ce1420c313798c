"""Starts work as a process group of its own, and kills it: at a moment, or in the midst of a writing after it.

A process is a fork of this one, which has the packages loaded and does nothing itself: so a start takes what the
program takes, without the seconds of loading packages. The programs are the real ones.
"""

import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

PATIENCE_S = 240.0
_LOOK_EVERY_S = 0.0005

Work = Callable[[], None]


@dataclass(frozen=True)
class Ended:
    """How work ended that was left alone: its exit code and how long it took."""

    code: int
    seconds: float


def run(work: Work, log: Path) -> Ended:
    """Does work in a process of its own, to its end. Errors: TimeoutError."""
    began = time.perf_counter()
    pid = _fork(work, log)
    while (code := _poll(pid)) is None:
        if time.perf_counter() - began > PATIENCE_S:
            kill_group(pid)
            raise TimeoutError(f"no end after {PATIENCE_S:.0f} s; see {log}")
        time.sleep(0.01)
    return Ended(code, time.perf_counter() - began)


def kill(work: Work, log: Path, moment_s: float, watched: Path | None) -> bool:
    """Does work and kills it after a while; `watched`: after that as soon as something is being written there.

    False where it had ended before.
    """
    began = time.perf_counter()
    pid = _fork(work, log)
    while _poll(pid) is None:
        if time.perf_counter() - began >= moment_s and (watched is None or unfinished(watched)):
            kill_group(pid)
            return True
        time.sleep(_LOOK_EVERY_S)
    return False


def unfinished(folder: Path) -> list[str]:
    """What is being written in a folder, or was left unfinished there."""
    found = []
    for place, folders, files in os.walk(folder):
        found += [os.path.join(place, name) for name in (*folders, *files) if name.startswith(".") and ".part" in name]
    return found


def kill_group(pid: int) -> None:
    """Kills a process of ours with all that it has started, and waits until it is gone."""
    import psutil

    # What it started may have a session of its own, as the page's worker has.
    others = psutil.Process(pid).children(recursive=True)
    os.killpg(pid, signal.SIGKILL)
    for other in others:
        try:
            other.kill()
            other.wait(10)
        except psutil.NoSuchProcess:
            pass
    os.waitpid(pid, 0)


def _poll(pid: int) -> int | None:
    ended, status = os.waitpid(pid, os.WNOHANG)
    return os.waitstatus_to_exitcode(status) if ended else None


def _fork(work: Work, log: Path) -> int:
    sys.stdout.flush()
    sys.stderr.flush()
    pid = os.fork()
    if pid == 0:
        _do(work, log)
    # Both sides say it: whoever comes first, the group is there before it is killed.
    with contextlib.suppress(PermissionError):
        os.setpgid(pid, pid)
    return pid


def _do(work: Work, log: Path) -> NoReturn:
    """In the new process: the work, its words in a file, and its exit code."""
    code = 1
    try:
        if os.getpgid(0) != os.getpid():
            os.setpgid(0, 0)
        out = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        os.dup2(out, 1)
        os.dup2(out, 2)
        work()
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 1
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
