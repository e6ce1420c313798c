"""Where a run writes: its output folder, until it is moved; and what is to be written there, as far as it is known."""

import errno
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch

from sd_scripts.library.errors import BadFile
from sd_scripts.library.pausing import Ground, Trouble, free_bytes, tried
from sd_scripts.library.report import Report


class OutputPlace:
    """The folder that all files of a run go to. It may be named anew while the run goes on."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ground = Ground(folder)

    def move(self, folder: Path) -> None:
        """From now on everything goes there."""
        self.folder = folder
        self._ground = Ground(folder)

    def looked_at(self, path: Path, needed_bytes: int | None) -> Trouble | None:
        """The trouble that is known before anything is written: the drive is gone, or lacks room."""
        gone = tried(path, self._ground.check)
        free = free_bytes(self.folder)
        if gone or needed_bytes is None or free is None or free >= needed_bytes:
            return gone
        return Trouble(path, "there is not enough room", "full", free, needed_bytes)

    def write(self, path: Path, write: Callable[[], None]) -> None:
        """Writes once, where the drive is still there: a folder that is gone is not made anew. Errors: BadFile."""
        try:
            self._ground.check()
        except OSError as error:
            raise BadFile(f"Cannot write {path}: its folder is gone.") from error
        write()
        self._ground.look()

    def tried(self, path: Path, needed_bytes: int | None, write: Callable[[], None]) -> Trouble | None:
        """Writes; the trouble with the place, where there is any. Errors: NotWhole, which is none of the place."""

        def write_and_look() -> None:
            try:
                write()
            except BadFile as error:
                if error.__cause__ is not None:
                    raise
                # Something is in the way that is no file of ours.
                raise OSError(errno.EEXIST, str(error).rstrip("."), str(path)) from error
            # What did not exist before does now, perhaps with the drive under it.
            self._ground.look()

        return tried(path, write_and_look, needed_bytes)


def weights_bytes(contents: Any) -> int:
    """What is trained, as it lies in memory."""
    return _bytes(tensor for module in contents.modules.values() for tensor in module.state_dict().values())


def state_bytes(contents: Any) -> int | None:
    """The least that a state takes: weights and the optimizer's memory. None where several processes hold parts."""
    if contents.engine is not None:
        return None
    return weights_bytes(contents) + _bytes(v for kept in contents.optimizer.state.values() for v in kept.values())


def _bytes(values: Iterable[Any]) -> int:
    return sum(value.nbytes for value in values if isinstance(value, torch.Tensor))


def tell_room(needed_bytes: int, folder: Path, report: Report) -> None:
    """A word before the first step where the disk cannot hold what one save takes at least."""
    free = free_bytes(folder)
    if free is not None and free < needed_bytes:
        sizes = f"{free / 1e6:,.0f} MB are free, and one save takes {needed_bytes / 1e6:,.0f} MB or more"
        report.notice(f"{folder}: {sizes}. Training will wait there for room.", "warning")


def size_of(path: Path) -> int:
    """Bytes of a file, or of all files in a folder."""
    return sum(f.stat().st_size for f in path.rglob("*") if f.is_file()) if path.is_dir() else path.stat().st_size
