"""Reading pickled checkpoints without running what they name. Needs no torch.

A pickle may name any function and have it called. Here a name is either on a short list, or stands for a placeholder
that takes whatever is done to it and does nothing.
"""

import pickle
import zipfile
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

from sd_scripts.library.errors import BadFile


class Inert:
    """Stands for an object of a class that is not needed."""

    def __new__(cls, *_args: Any, **_kwargs: Any) -> "Inert":
        return super().__new__(cls)

    def __init__(self, *_args: Any, **_kwargs: Any) -> None:
        pass

    def __call__(self, *_args: Any, **_kwargs: Any) -> "Inert":
        return self

    def __setstate__(self, _state: Any) -> None:
        pass

    def __setitem__(self, _key: Any, _value: Any) -> None:
        pass

    def append(self, _item: Any) -> None:
        """Lists may be built onto it."""

    def extend(self, _items: Any) -> None:
        """Lists may be built onto it."""

    def add(self, _item: Any) -> None:
        """Sets may be built onto it."""


# The one in Python: the one in C takes gigabytes for a file of 30 bytes that numbers what it remembers wildly.
class SafeUnpickler(pickle._Unpickler):
    """An unpickler that knows only the names of `allowed`; all others are inert."""

    allowed: dict[tuple[str, str], Any] = {("collections", "OrderedDict"): OrderedDict}

    def find_class(self, module: str, name: str) -> Any:
        """The object that a name stands for."""
        return self.allowed.get((module, name), Inert)

    def load(self) -> Any:
        """What the file holds. Errors: any."""
        self._nested: dict[int, tuple[tuple[Any, ...], int]] = {}
        return super().load()

    def _look_at_tuple(self) -> None:
        """Tuples may lie in others, as keys do, but not so deep, or so often, that a hash takes all stack or time."""
        made = self.stack[-1]  # type: ignore[attr-defined]
        within = sum(self._nested.get(id(one), (one, 1))[1] for one in made if isinstance(one, tuple))
        if within > _MOST_NESTED:
            raise pickle.UnpicklingError(f"{within:,} tuples lie in one")
        if within:
            # It is held, so that its number is not given to another.
            self._nested[id(made)] = made, within + 1

    def get_extension(self, _code: int) -> None:
        """Registered extension codes are names too."""
        self.append(Inert)  # type: ignore[attr-defined]


def _looking(make: Callable[[Any], None]) -> Callable[[Any], None]:
    def load_tuple(unpickler: Any) -> None:
        make(unpickler)
        unpickler._look_at_tuple()

    return load_tuple


_TUPLES = (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3)
_known = pickle._Unpickler.dispatch
SafeUnpickler.dispatch = {**_known, **{mark[0]: _looking(_known[mark[0]]) for mark in _TUPLES}}


def load(file: BinaryIO, **options: Any) -> Any:
    """As pickle.load, with `SafeUnpickler`."""
    return SafeUnpickler(file, **options).load()


def no_checkpoint(path: Path) -> BadFile:
    """What is said of a pickle that cannot be read."""
    return BadFile(f"{path} is no checkpoint, or it is incomplete. Download or copy it again.")


def check_archive(archive: zipfile.ZipFile) -> None:
    """Raises UnpicklingError for an archive that would unpack to more than its file holds: torch packs nothing."""
    unpacked = sum(entry.file_size for entry in archive.infolist())
    packed = sum(entry.compress_size for entry in archive.infolist())
    if unpacked > _MOST_UNPACKED * packed + _SMALL_BYTES:
        raise pickle.UnpicklingError(f"its {packed:,} bytes unpack to {unpacked:,}")


# Weights that somebody packed again by hand become half as large, not a hundredth.
_MOST_UNPACKED = 4
_SMALL_BYTES = 1_000_000
_MOST_NESTED = 5_000
