"""What programs that were killed left beside their files: removed, or put back, once their writers are gone.

Their names say who wrote them: .NAME-MACHINE-PROCESS-LETTERS.part for what was not finished, and the same with .old
for a folder that was moved away for a new one.
"""

import hashlib
import os
import platform
import re
import secrets
import shutil
import time
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import NamedTuple

PART = ".part"
_OLD = ".old"
_NAME = re.compile(r"\.(.*)-([0-9a-f]{6})-(\d+)-[0-9a-z_]{8}(\.part(?:\.[^.]*)?|\.old)", re.DOTALL)
# Whether the writer lives cannot be told from another machine.
_FOREIGN_S = 86_400.0
# Clocks of processes and of files differ a little.
_SAME_TIME_S = 5.0
# A folder of 200,000 texts is not listed for each of them.
_AGAIN_S = 300.0
_tidied: dict[Path, float] = {}
_gone: set[Path] = set()
"""What this process could not remove, as the drive was taken away: that is done once it is back."""


class Writer(NamedTuple):
    """Who wrote what was left: a process of a machine."""

    machine: str
    pid: int


def beginning(name: str) -> str:
    """How the name of something begins that this process writes beside its place."""
    return f".{name}-{_machine()}-{os.getpid()}-"


def moved_away(path: Path) -> Path:
    """Where a folder lies while another takes its place."""
    return path.with_name(f"{beginning(path.name)}{secrets.token_hex(4)}{_OLD}")


def is_leftover(name: str) -> bool:
    """Whether something of this name is not in its place (yet), so that readers leave it alone."""
    return _NAME.fullmatch(name) is not None


def tidy(folder: Path) -> None:
    """Removes what killed programs left unfinished in a folder, and puts back what one had moved away.

    What a living process writes stays, and what cannot be removed. Asked often, it looks again only after minutes.
    """
    for path in [path for path in list(_gone) if path.parent == folder.absolute() and folder.exists()]:
        _gone.discard(path)
        remove(path)
    now_s = time.monotonic()
    if now_s - _tidied.get(folder, -_AGAIN_S) < _AGAIN_S:
        return
    _tidied[folder] = now_s
    try:
        names = os.listdir(folder)
    except OSError:
        return
    for name in names:
        found = _NAME.fullmatch(name)
        if found and _is_gone(Writer(found[2], int(found[3])), folder / name):
            if found[4] == _OLD and not (folder / found[1]).exists():
                with suppress(OSError):
                    os.replace(folder / name, folder / found[1])
            else:
                remove(folder / name)


def remove(path: Path) -> None:
    """Removes a file or a folder, as far as it is there and can be removed."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        with suppress(OSError):
            path.unlink()
    if not path.parent.exists():
        _gone.add(path.absolute())


def discard(path: Path) -> None:
    """Removes a file or folder: it is gone as a whole, also for who is killed meanwhile. Errors: OSError."""
    going = path.with_name(f"{beginning(path.stem[:40])}{secrets.token_hex(4)}{PART}")
    os.replace(path, going)
    remove(going)


def _is_gone(writer: Writer, left: Path) -> bool:
    """Whether the writer of this ended; of another machine's, whether it has not written for a day."""
    import psutil

    try:
        written_s = _written_s(left)
        if writer.machine != _machine():
            return time.time() - written_s > _FOREIGN_S
        process = psutil.Process(writer.pid)
        # Numbers are given out again: who was born after the file did not write it.
        return process.status() == psutil.STATUS_ZOMBIE or process.create_time() > written_s + _SAME_TIME_S
    except psutil.NoSuchProcess:
        return True
    except (psutil.Error, OSError):
        # Another user's process, or another program was quicker.
        return False


def _written_s(left: Path) -> float:
    """When something was last written to, within it too."""
    return max(path.stat().st_mtime for path in (left, *left.rglob("*")))


@cache
def _machine() -> str:
    """Tells apart the machines, and the containers, that may share a folder: each counts processes by itself."""
    try:
        counts_processes = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        counts_processes = 0
    return hashlib.sha256(f"{platform.node()} {counts_processes}".encode()).hexdigest()[:6]
