"""The folder of the pictures is gone while they are learnt, as with a drive that was taken away: it is waited for."""

import contextlib
import errno
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sd_scripts.library import events
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.report import Report
from sd_scripts.library.team import Team

T = TypeVar("T")

LOOK_EVERY_S = 0.5


class SourceGone(Exception):
    """A stop was asked for while pictures were waited for."""


_READING = threading.Lock()


def while_there(report: Report, folder: Path, read: Callable[[], T]) -> T:
    """Reads something out of a folder; where the whole folder is gone, waits until it is back. Threads may call it.

    One file that cannot be read stays its own error. Errors: those of `read`; SourceGone, when a stop is asked for.
    """
    while True:
        try:
            return read()
        except (UnreadableImage, OSError):
            with _READING:
                if not _is_gone(folder):
                    raise
                _wait_for(folder, report)


def met(team: Team, load: Callable[[], T]) -> T:
    """Loads something, and waits until the whole team has done so. Errors: SourceGone, in all, where one had it."""
    loaded: list[T] = []
    with contextlib.suppress(SourceGone):
        loaded.append(load())
    if team.any(not loaded):
        raise SourceGone
    return loaded[0]


def _is_gone(folder: Path) -> bool:
    """A drive that is taken away leaves no folder, or an empty one."""
    try:
        return next(folder.iterdir(), None) is None
    except OSError:
        return True


def _wait_for(folder: Path, report: Report) -> None:
    stops = report.asked.stops
    if report.asked.stop_asked():
        raise SourceGone
    text = f"Paused: {folder} is gone, with the pictures in it. Bring it back, and it goes on by itself."
    report.say(f"{text} Ctrl+C saves the state and ends.", "WARNING")
    report.emit(events.Paused(path=str(folder), reason=os.strerror(errno.ENOENT), kind="pictures"))
    while _is_gone(folder):
        report.asked.stop_asked()
        if report.asked.stops > stops:
            raise SourceGone
        time.sleep(LOOK_EVERY_S)
    report.emit(events.GoesOn())
