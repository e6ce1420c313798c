"""Tensors where they lie in a file: mapped into memory, or read, each by itself.

A mapped tensor costs nothing until it is used, and its pages are let go with it. So a model that is changed to another
number format tensor by tensor never lies in memory twice.
"""

import json
import math
import mmap
import weakref
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.tensor_file import NAMES

_DTYPES = {name: dtype for dtype, name in NAMES.items()}

_ZIP_HEADER_BYTES = 30


class Place(NamedTuple):
    """Where a tensor lies in a file."""

    begin: int
    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


class Bytes(Protocol):
    """A file, of which pieces are asked for."""

    def piece(self, begin: int, size: int) -> Tensor:
        """Bytes of the file, as uint8 that may be written to: the file stays as it is."""


class MappedBytes:
    """Maps the file into memory: a piece is read when it is used."""

    def __init__(self, path: Path) -> None:
        with open(path, "rb") as file:
            self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_COPY)
        self._held: Counter[int] = Counter()

    def piece(self, begin: int, size: int) -> Tensor:
        """See Bytes."""
        held = np.frombuffer(self._map, np.uint8, size, begin)
        # The tensor holds the array: when it goes, nobody uses these pages any more.
        self._held[begin] += 1
        weakref.finalize(held, _let_go, self._map, self._held, begin, begin + size).atexit = False
        return torch.from_numpy(held)


class ReadBytes:
    """Reads a piece when it is asked for."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def piece(self, begin: int, size: int) -> Tensor:
        """See Bytes. Errors: OSError, when the file is shorter than it was."""
        held = torch.empty(size, dtype=torch.uint8)
        room = memoryview(held.numpy())
        with open(self._path, "rb", buffering=0) as file:
            file.seek(begin)
            while len(room):
                count = file.readinto(room)
                if not count:
                    raise OSError(f"{self._path} is shorter than it was")
                room = room[count:]
        return held


def tensor_at(file: Bytes, place: Place) -> Tensor:
    """The tensor at a place of a file."""
    if not place.size_bytes:
        return torch.empty(place.shape, dtype=place.dtype)
    found = file.piece(place.begin, place.size_bytes)
    # Numbers may begin anywhere in a file, but not in memory.
    found = found.clone() if found.data_ptr() % place.dtype.itemsize else found
    return found.view(place.dtype).reshape(place.shape)


def safetensors_places(path: Path) -> dict[str, Place]:
    """{name: place} of the tensors of a .safetensors file whose header is sound. Errors: BadFile."""
    with open(path, "rb") as file:
        length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(length))
    header.pop("__metadata__", None)
    unknown = next((entry["dtype"] for entry in header.values() if entry["dtype"] not in _DTYPES), None)
    if unknown:
        raise BadFile(f"{path} holds numbers of the format {unknown}, which are not read. Save it in another.")
    return {
        name: Place(8 + length + entry["data_offsets"][0], _DTYPES[entry["dtype"]], tuple(entry["shape"]))
        for name, entry in header.items()
    }


def stored_pieces(path: Path) -> dict[str, tuple[int, int]]:
    """{name: (begin, bytes)} of what lies in a zip archive as it is, not packed."""
    with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
        return {
            info.filename: (_begin(file, info.header_offset), info.file_size)
            for info in archive.infolist()
            if info.compress_type == zipfile.ZIP_STORED
        }


def _begin(file: Any, header: int) -> int:
    """Where what is stored begins, after a header of its own. Source: PKWARE's APPNOTE.TXT, 4.3.7."""
    file.seek(header)
    lengths = file.read(_ZIP_HEADER_BYTES)[26:]
    return header + _ZIP_HEADER_BYTES + int.from_bytes(lengths[:2], "little") + int.from_bytes(lengths[2:], "little")


def _let_go(mapped: mmap.mmap, held: Counter[int], begin: int, end: int) -> None:
    """Gives back the pages that hold nothing else. What another tensor has written there would be lost with them."""
    held[begin] -= 1
    if held[begin]:
        return
    first, last = -(-begin // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
    if first < last and hasattr(mmap, "MADV_DONTNEED"):
        mapped.madvise(mmap.MADV_DONTNEED, first, last - first)
