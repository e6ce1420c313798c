"""Progress of the installation: which step of how many, and quietly what it is doing."""

from __future__ import annotations

import re
import shutil
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TextIO

_QUIET_S = 30.0
"""Where lines cannot be rewritten (a log), how long nothing new is said."""


class Steps:
    """Prints `[2/4] PyTorch`, what goes on in it, and how long it took."""

    def __init__(self, total: int, out: TextIO | None = None) -> None:
        self._out = out or sys.stdout
        self._total = total
        self._number = 0
        self._line = ""
        self._said_s = 0.0

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """One step, from its announcement to its time."""
        self._number += 1
        self._line = f"[{self._number}/{self._total}] {title}"
        self._say(self._line, last=not self._out.isatty())
        started_s = self._said_s = time.monotonic()
        try:
            yield
        except BaseException:
            self._say(self._line, last=True)
            raise
        self._say(f"{self._line}: done in {time.monotonic() - started_s:.0f} s", last=True)

    def detail(self, text: str) -> None:
        """What the step is doing right now."""
        if self._out.isatty():
            self._say(f"{self._line}: {text}", last=False)
        elif time.monotonic() - self._said_s > _QUIET_S:
            self._say(f"      {text}", last=True)
            self._said_s = time.monotonic()

    def _say(self, text: str, *, last: bool) -> None:
        if self._out.isatty():
            width = shutil.get_terminal_size().columns - 1
            self._out.write("\r" + text[:width].ljust(width))
        else:
            self._out.write(text)
        if last:
            self._out.write("\n")
        self._out.flush()


class PipReader:
    """Turns pip's wall of text into a word or two on what it is doing."""

    def __init__(self) -> None:
        self._collected = 0

    def read(self, line: str) -> str | None:
        """What this line of pip's says, where it says anything new."""
        line = line.strip()
        if match := re.match(r"Collecting ([\w.-]+)", line):
            self._collected += 1
            return f"{self._collected} so far, {match[1]}"
        if match := re.match(r"Downloading \S*?([\w.]+)-\S+ (\(.*\))", line):
            return f"{self._collected} so far, downloading {match[1]} {match[2]}"
        if match := re.match(r"Installing collected packages: (.*)", line):
            return f"unpacking {len(match[1].split(','))} packages"
        return None
