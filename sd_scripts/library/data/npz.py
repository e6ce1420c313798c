"""The arrays of latents files. Nothing pickled is read, since that could run anything. Needs no torch."""

import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np


class BrokenLatents(Exception):
    """A latents file that cannot be read; the text says why."""


# Latents and masks of the largest pictures take less. What claims more would only fill the memory.
LARGEST_ARRAY_BYTES = 500_000_000
# NotImplementedError, a RuntimeError, stands for kinds of compression and encryption that zipfile cannot read.
_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)


def read_arrays(path: Path, wanted: tuple[str, ...] = ()) -> "dict[str, np.ndarray]":
    """The arrays of a file, or those of some names. Errors: BrokenLatents."""
    from numpy.lib import format as npy

    arrays = {}
    with members(path) as (names, opened):
        for name in names:
            if not wanted or name in wanted:
                with opened(name) as member:
                    arrays[name] = npy.read_array(member, allow_pickle=False)
    return arrays


@contextmanager
def members(path: Path) -> Iterator[tuple[list[str], Callable[[str], IO[bytes]]]]:
    """The names of a file's arrays, and a function that opens one. Errors in the block become BrokenLatents."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
            yield names, lambda name: _opened(archive, f"{name}.npy")
    except _READ_ERRORS as error:
        raise BrokenLatents(f"the file is broken ({error})") from error


def _opened(archive: zipfile.ZipFile, member: str) -> IO[bytes]:
    size_bytes = archive.getinfo(member).file_size
    if size_bytes > LARGEST_ARRAY_BYTES:
        raise ValueError(f"{member} would take {size_bytes / 1e9:.1f} GB")
    return archive.open(member)
