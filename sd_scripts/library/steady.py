"""Writing that never ends the work: what cannot be told now is kept, and told later."""

import os
import time
from collections import deque
from pathlib import Path

from sd_scripts.library.io.atomic import ends_within_a_line

# Lines that wait for room: those of an hour or so; older ones are dropped.
KEPT_LINES = 10_000
TRY_EVERY_S = 2.0


class SteadyFile:
    """A file of lines that grows. Where it cannot be written, lines wait; half a line is ended before the next one."""

    def __init__(self, path: Path) -> None:
        """Errors: OSError, where it cannot be opened at all."""
        self._path = path
        self._file: int | None = _open(path)
        self._waiting: deque[bytes] = deque(maxlen=KEPT_LINES)
        # A program that was killed may have left half a line.
        self._torn = ends_within_a_line(path)
        self._tried_s = 0.0
        self.trouble: OSError | None = None
        """Why lines wait, where they do."""

    def write(self, line: str) -> None:
        """Adds a line. File names need not be UTF-8."""
        self._waiting.append(line.encode("utf-8", "backslashreplace") + b"\n")
        if self.trouble is None or time.monotonic() - self._tried_s > TRY_EVERY_S:
            self._write_waiting()

    def close(self) -> None:
        """Writes what waits, where that can be done, and closes the file."""
        self._write_waiting()
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write_waiting(self) -> None:
        self._tried_s = time.monotonic()
        try:
            if self._file is None:
                self._file = _open(self._path)
            while self._waiting:
                self._write_one(b"\n" * self._torn + self._waiting[0])
                self._waiting.popleft()
            self.trouble = None
        except OSError as error:
            self.trouble = error

    def _write_one(self, line: bytes) -> None:
        assert self._file is not None
        written = 0
        while written < len(line):
            try:
                written += os.write(self._file, line[written:])
            finally:
                # A line that is cut short reads as none; it comes whole later.
                self._torn = self._torn if not written else written < len(line)


def _open(path: Path) -> int:
    return os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666)
