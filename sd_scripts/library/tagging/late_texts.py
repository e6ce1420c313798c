"""Writes texts aside, while the model goes on: a disk takes milliseconds to say that it holds a file."""

import os
import stat
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from sd_scripts.library.data.captions import UnreadableText
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.errors import BadFile
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report

# So many texts may wait for the disk: then the model does.
MOST_WAITING = 256

FILES_AT_ONCE = 4
"""Threads that write files of their own, which depend on nothing but the disk."""


class Writer(Protocol):
    """Where the texts go."""

    at_once: int
    """How many threads may write at the same time."""

    def described_ns(self, image: Path) -> int | None:
        """When the text of a picture was written, in nanoseconds of the system's clock; None where it has none."""

    def write(self, image: Path, result: Any) -> str:
        """Keeps what was seen in a picture, and gives its text. It may be asked again for the same picture.

        Errors, of this picture alone: BadFile, UnreadableText, UnreadableImage.
        """

    def finish(self, report: Report) -> None:
        """After the last picture, also when a stop was asked for. Errors: BadFile."""


def written_ns(text: Path) -> int | None:
    """When a file was written; None where it is empty or not there."""
    try:
        facts = os.stat(text)
    except OSError:
        return None
    return facts.st_mtime_ns if facts.st_size and stat.S_ISREG(facts.st_mode) else None


class LateTexts:
    """Texts on their way. What cannot be written is tried again in the thread of the report, which can wait.

    Left without an error, all texts are written; `written` counts those that could be.
    """

    def __init__(self, writer: Writer, report: Report, debug: bool) -> None:
        self._writer, self._report, self._debug = writer, report, debug
        self._pool = ThreadPoolExecutor(writer.at_once, thread_name_prefix="writer")
        self._waiting: deque[tuple[Path, Any, Future[str]]] = deque()
        self.written = 0

    def __enter__(self) -> "LateTexts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._settle(0)
        finally:
            self._pool.shutdown(cancel_futures=True)

    def put(self, paths: list[Path], results: list[Any]) -> None:
        """Hands over what was seen in some pictures. Errors: NotWritten."""
        for path, result in zip(paths, results, strict=True):
            self._waiting.append((path, result, self._pool.submit(self._writer.write, path, result)))
        self._settle(MOST_WAITING)

    def _settle(self, most: int) -> None:
        """Looks at what is done, and waits until no more than `most` are left."""
        while self._waiting and (len(self._waiting) > most or self._waiting[0][2].done()):
            path, result, future = self._waiting.popleft()
            try:
                self._tell(path, self._text(path, result, future))
            except (BadFile, UnreadableText, UnreadableImage) as error:
                self._report.failed_item(path, str(error))

    def _text(self, path: Path, result: Any, future: "Future[str]") -> str:
        try:
            return future.result()
        except Exception:  # this picture's fault, or the place's
            return patiently(self._report, path, lambda: self._writer.write(path, result))

    def _tell(self, path: Path, text: str) -> None:
        self.written += 1
        if self._debug:
            self._report.say(f"{path}: {text}")
