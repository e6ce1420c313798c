"""A place that cannot be written at the moment: the work waits, with all that it holds, and goes on when it can.

A full disk, a drive that is gone, a folder that has become read-only. A pause has no end of its own: whoever comes back
after a night finds the work where it stood. `Pause` is for what many processes write together, `patiently` for one.
"""

import errno
import os
import re
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Protocol, TypeVar

from sd_scripts.library import events
from sd_scripts.library.errors import FailureKind, UserError
from sd_scripts.library.events import PauseKind
from sd_scripts.library.report import Report

T = TypeVar("T")

LOOK_EVERY_S = 0.5
# A look at a place costs nothing; to write again where no more room is seen may cost minutes of a disk's work.
TRY_EVERY_S = 5.0
TRY_FULL_EVERY_S = 30.0
ROOM_GREW_BYTES = 1_000_000

FULL = {getattr(errno, name) for name in ("ENOSPC", "EDQUOT", "EFBIG") if hasattr(errno, name)}
# A file or a broken link in the place of a folder counts as well: so looks what stands in for a drive.
_GONE = {
    getattr(errno, name)
    for name in ("ENOENT", "ENOTDIR", "ENODEV", "ENXIO", "ESTALE", "EEXIST", "ELOOP")
    if hasattr(errno, name)
}
_PLACES = FULL | _GONE | {
    getattr(errno, name)
    for name in ("EROFS", "EACCES", "EPERM", "EIO", "EBUSY", "EISDIR", "ENOTEMPTY", "ENOTCONN", "ETIMEDOUT",
                 "EHOSTDOWN", "EHOSTUNREACH", "ENETDOWN", "ECONNRESET", "EREMOTEIO")
    if hasattr(errno, name)
}  # fmt: skip
# How the writers that are no Python say it: safetensors with the system's number, torch without any.
_NUMBER = re.compile(r"\(os error (\d+)\)")
_TORCH = re.compile(r"PytorchStreamWriter.failed|unexpected.pos|iostream.error|failed.writing.file")


class NotWritten(UserError):
    """The work was left while it waited for a place to write to."""

    exit_code = 1

    def __init__(self, sentence: str, kind: FailureKind) -> None:
        super().__init__(sentence)
        self.kind = kind


@dataclass(frozen=True)
class Trouble:
    """What cannot be written, and why. Bytes are None where they are not known."""

    path: Path
    reason: str
    kind: PauseKind
    free_bytes: int | None = None
    needed_bytes: int | None = None

    @property
    def sentence(self) -> str:
        """In words."""
        sizes = ((self.free_bytes, "free"), (self.needed_bytes, "needed"))
        known = ", ".join(f"{_size(number)} {what}" for number, what in sizes if number is not None)
        room = f" ({known})" if self.kind == "full" and known else ""
        return f"{self.path} cannot be written: {self.reason}{room}"


def trouble_of(error: BaseException, path: Path, needed_bytes: int | None = None) -> Trouble | None:
    """What an error says of the place that was written to; None where it is about something else."""
    number = _number_of(error)
    if number is None or number not in _PLACES:
        return None
    kind: PauseKind = "full" if number in FULL else "gone" if number in _GONE else "refused"
    return Trouble(path, os.strerror(number), kind, free_bytes(path), needed_bytes)


def _number_of(error: BaseException | None) -> int | None:
    while error is not None:
        if isinstance(error, OSError) and error.errno:
            return error.errno
        if found := _NUMBER.search(str(error)):
            return int(found[1])
        if isinstance(error, RuntimeError) and _TORCH.search(str(error)):
            # It says nothing more; a full disk is what it mostly is, and the next look finds out.
            return errno.ENOSPC
        error = error.__cause__
    return None


def free_bytes(path: Path) -> int | None:
    """The room where a path lies, or would lie."""
    try:
        return shutil.disk_usage(_existing(path)).free
    except OSError:
        return None


@dataclass
class Ground:
    """The drive that a folder lies on. One that is taken away must not be made anew, on the disk below it."""

    folder: Path
    _there: Path = field(init=False)
    _device: int = field(init=False)
    _below: int | None = field(init=False)

    def __post_init__(self) -> None:
        self.look()

    def look(self) -> None:
        """Takes what is there now for what is to be there. Errors: OSError."""
        self._there = _existing(self.folder)
        self._device = os.stat(self._there).st_dev
        mount = self._there
        while not mount.is_mount() and mount != mount.parent:
            mount = mount.parent
        self._below = os.stat(mount.parent).st_dev if mount != mount.parent else None

    def check(self) -> None:
        """Errors: FileNotFoundError, when the folder, or the drive that it lay on, is gone."""
        # Another number is no sign: a drive that comes back may get a new one. That of the disk below is.
        device = os.stat(self._there).st_dev
        if device != self._device and device == self._below:
            raise FileNotFoundError(errno.ENOENT, "the drive that it lay on is gone", str(self._there))


class Team(Protocol):
    """The processes that write together."""

    def gather(self, own: T) -> list[T]: ...

    def agree(self, own: T) -> T: ...


class Alone:
    """One process."""

    def gather(self, own: T) -> list[T]:
        """Its own value."""
        return [own]

    def agree(self, own: T) -> T:
        """Its own value."""
        return own


# "wait", "try" or "leave", or another folder.
Verdict = str | Path


class Pause:
    """Waits in rounds, so that the processes of a team wait together and none thinks that the others are gone.

    `move`: takes another folder instead, where that can be; `fallback`: the one that is taken without asking.
    """

    def __init__(
        self,
        report: Report,
        team: Team | None = None,
        move: Callable[[Path], None] | None = None,
        fallback: Path | None = None,
    ) -> None:
        self._report, self._team, self._move = report, team or Alone(), move
        self._fallback = fallback if move else None
        self._stops = 0
        self._tried_s = 0.0

    def until_written(self, look: Callable[[], Trouble | None], attempt: Callable[[], Trouble | None]) -> None:
        """Looks, and attempts where that shows nothing, until there is no trouble in any process.

        All call it together; what one process sees keeps all of them from an attempt. Errors: NotWritten.
        """
        paused = False
        while trouble := self._any(look()) or self._any(attempt()):
            self._tried_s = time.monotonic()
            if not paused and not self._fallback:
                self._begin(trouble)
                paused = True
            while (verdict := self._team.agree(self._look(trouble))) == "wait":
                pass
            if verdict == "leave":
                kind: FailureKind = "disk_full" if trouble.kind == "full" else "file"
                raise NotWritten(f"Left as asked: {trouble.sentence}.", kind)
            if isinstance(verdict, Path):
                self._go_elsewhere(verdict, trouble)
        if paused:
            self._report.say("Written: it goes on.")
            self._report.emit(events.GoesOn())

    def _any(self, own: Trouble | None) -> Trouble | None:
        return next(filter(None, self._team.gather(own)), None)

    def _begin(self, trouble: Trouble) -> None:
        self._report.asked.something_to_keep()
        self._stops = self._report.asked.stops
        self._report.say(
            f"Paused: {trouble.sentence}. Nothing is lost: make room, or bring the place back, and it goes on by "
            "itself. Ctrl+C leaves without it. The pause has no end of its own.",
            "WARNING",
        )
        self._report.emit(
            events.Paused(
                path=str(trouble.path),
                reason=trouble.reason,
                kind=trouble.kind,
                free_bytes=trouble.free_bytes,
                needed_bytes=trouble.needed_bytes,
                elsewhere=self._move is not None,
            )
        )

    def _look(self, trouble: Trouble) -> Verdict:
        """One look at what is asked, and at the place."""
        asked = self._report.asked
        if self._fallback:
            fallback, self._fallback = self._fallback, None
            return fallback
        if asked.take("save_elsewhere") and asked.folder and self._move:
            return Path(asked.folder)
        again = asked.take("try_again")
        asked.stop_asked()
        if asked.stops > self._stops:
            return "leave"
        if again or self._worth_a_try(trouble):
            return "try"
        time.sleep(LOOK_EVERY_S)
        return "wait"

    def _worth_a_try(self, trouble: Trouble) -> bool:
        waited_s = time.monotonic() - self._tried_s
        if trouble.kind != "full":
            return waited_s > TRY_EVERY_S and _takes_files(trouble.path)
        free = free_bytes(trouble.path) or 0
        if trouble.needed_bytes is not None and free < trouble.needed_bytes and free < (trouble.free_bytes or 0):
            return False
        grew = free > (trouble.free_bytes or 0) + ROOM_GREW_BYTES
        return (grew and waited_s > LOOK_EVERY_S) or waited_s > TRY_FULL_EVERY_S

    def _go_elsewhere(self, folder: Path, trouble: Trouble) -> None:
        assert self._move is not None
        self._report.notice(f"{trouble.sentence}. From now on it is saved in {folder}.", "warning")
        self._move(folder)


def patiently(report: Report, path: Path, write: Callable[[], T], team: Team | None = None) -> T:
    """Writes one thing, in a folder or as a file, and waits while the place refuses. All of a team call it together.

    What only this thing fails for, as its source cannot be read, stays its own error. Errors: NotWritten.
    """
    folder = path if path.is_dir() else path.absolute().parent
    ground, written = Ground(folder), list[T]()

    def write_once() -> None:
        if not written:
            written.append(write())

    def attempt() -> Trouble | None:
        return tried(folder, write_once, refuses=partial(_refuses, folder, ground))

    Pause(report, team).until_written(lambda: tried(folder, ground.check), attempt)
    return written[0]


def _refuses(folder: Path, ground: Ground) -> bool:
    return tried(folder, ground.check) is not None or not _takes_files(folder) or not folder.is_dir()


def tried(
    path: Path, work: Callable[[], object], needed_bytes: int | None = None, refuses: Callable[[], bool] = lambda: True
) -> Trouble | None:
    """Does something with a place; the trouble with it, where there is any. Other errors stay errors.

    `refuses`: whether the place is to blame for an error that is not about room.
    """
    try:
        work()
    except Exception as error:
        trouble = trouble_of(error, path, needed_bytes)
        if trouble is None or not (trouble.kind == "full" or refuses()):
            raise
        return trouble
    return None


def _existing(path: Path) -> Path:
    """The path, or the folder nearest to it that is there."""
    whole = path.absolute()
    return next((place for place in (whole, *whole.parents) if place.exists()), whole)


def _takes_files(path: Path) -> bool:
    there = _existing(path)
    try:
        tempfile.TemporaryFile(dir=there if there.is_dir() else there.parent).close()
    except OSError:
        return False
    return True


def _size(number: int) -> str:
    return f"{number / 1e9:.1f} GB" if number >= 1e9 else f"{number / 1e6:.1f} MB"
