"""Writes texts aside, while the model goes on: a disk takes milliseconds to say that it holds a file."""

import os
import stat
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol

from sd_scripts.library.data.captions import UnreadableText
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.late_writing import LateWriting, Work
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


@dataclass
class _Seen:
    """What was seen in a picture, and its text once that is written."""

    image: Path
    result: Any
    text: str = ""


class LateTexts:
    """Texts on their way. What cannot be written is tried again in the thread of the report, which can wait.

    Left without an error, all texts are written; `written` counts those that could be.
    """

    def __init__(self, writer: Writer, report: Report, debug: bool) -> None:
        self._writer, self._report, self._debug = writer, report, debug
        self._late = LateWriting(self._told, writer.at_once, MOST_WAITING)
        self.written = 0

    def __enter__(self) -> "LateTexts":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._late.settle()
        finally:
            self._late.close()

    def put(self, image: Path, result: Any) -> None:
        """Hands over what was seen in a picture. Errors: NotWritten."""
        seen = _Seen(image, result)
        self._late.put(Work(seen, partial(self._write, seen)))

    def _write(self, seen: _Seen) -> None:
        seen.text = self._writer.write(seen.image, seen.result)

    def _told(self, work: Work[_Seen], error: Exception | None) -> None:
        seen = work.item
        try:
            if error is not None:
                # This picture's fault, or the place's.
                patiently(self._report, seen.image, work.write)
        except (BadFile, UnreadableText, UnreadableImage) as refused:
            self._report.failed_item(seen.image, str(refused))
            return
        self.written += 1
        if self._debug:
            self._report.say(f"{seen.image}: {seen.text}")
