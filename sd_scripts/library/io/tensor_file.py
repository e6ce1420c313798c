"""The bytes of files of tensors, hashed while they are written, so that nothing is read a second time.

Source of the .safetensors layout: its format (length of the header, header as JSON, then the tensors' bytes); the order
is that of the safetensors package: types by name of their width, then names.
"""

import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import cycle
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor

# The widest numbers first: so each tensor begins where its numbers may, as readers that map the file want it.
_NAMES = {
    torch.uint64: "U64", torch.int64: "I64", torch.float64: "F64", torch.complex64: "C64",
    torch.float32: "F32", torch.uint32: "U32", torch.int32: "I32",
    torch.bfloat16: "BF16", torch.float16: "F16", torch.uint16: "U16", torch.int16: "I16",
    torch.float8_e8m0fnu: "F8_E8M0", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_RANKS = {dtype: rank for rank, dtype in enumerate(_NAMES)}
_ALIGNMENT_BYTES = 8
# Small enough for a processor's cache, where what was converted is found again by who hashes and who writes.
PIECE_BYTES = 1 << 22
PIECES = 4
CONVERTERS = 2
_ALONE = 1 << 15
# A disk at work while the rest is made, and not only at the end; what it has taken needs no memory any more.
_ON_ITS_WAY_BYTES = 1 << 25


class Form(NamedTuple):
    """A tensor that is to be written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def ordered(forms: Mapping[str, Form]) -> list[str]:
    """The names as they follow each other in a file."""
    return sorted(forms, key=lambda name: (_RANKS[forms[name].dtype], name))


def head(forms: Mapping[str, Form], metadata: Mapping[str, str]) -> bytes:
    """What stands before the tensors."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    begin = 0
    for name in ordered(forms):
        form = forms[name]
        end = begin + form.size_bytes
        header[name] = {"dtype": _NAMES[form.dtype], "shape": list(form.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    return len(text).to_bytes(8, "little") + text


def write_tensors(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str], dtypes: Mapping[str, torch.dtype]
) -> str:
    """Writes a .safetensors file; its SHA-256. `dtypes`: the number formats of those that do not keep their own.

    While a piece of a tensor is brought to the CPU and converted, earlier ones are hashed and written. Errors: OSError.
    """
    forms = {name: Form(dtypes.get(name, tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()}
    pinned = any(tensor.is_cuda for tensor in tensors.values())
    cut = ((part_N, forms[name].dtype) for name in ordered(forms) for part_N in _cut(tensors[name], forms[name].dtype))
    with HashedFile(path) as file, ThreadPoolExecutor(CONVERTERS, "convert") as threads:
        file.add(memoryview(head(forms, metadata)))
        # One for each that is converted, that is on its way, and that is added.
        rooms = cycle([torch.empty(PIECE_BYTES, dtype=torch.uint8, pin_memory=pinned) for _ in range(3 * PIECES)])
        coming: deque[Future[memoryview]] = deque()
        for part_N, dtype in cut:
            coming.append(threads.submit(_converted, part_N, dtype, next(rooms)))
            if len(coming) >= PIECES:
                file.add(coming.popleft().result())
        for one in coming:
            file.add(one.result())
        return file.sha256()


def _cut(tensor: Tensor, dtype: torch.dtype) -> Iterator[Tensor]:
    """A tensor in pieces that are not too long in the number format of the file."""
    yield from tensor.detach().contiguous().reshape(-1).split(PIECE_BYTES // dtype.itemsize)


def _converted(part_N: Tensor, dtype: torch.dtype, room: Tensor) -> memoryview:
    """The bytes of a piece, put into `room`; what lies on the CPU in that format is not copied."""
    if part_N.dtype == dtype and part_N.device.type == "cpu":
        return memoryview(part_N.view(torch.uint8).numpy())
    held_N = room[: len(part_N) * dtype.itemsize].view(dtype)
    # A longer one would be shared out to all of torch's threads, which are at work in training, or for others.
    length = _ALONE if part_N.device.type == "cpu" else len(part_N)
    for part, held in zip(part_N.split(length), held_N.split(length), strict=True):
        held.copy_(part)
    return memoryview(held_N.view(torch.uint8).numpy())


class HashedFile:
    """A new file; one thread writes what is added, and one hashes it. Leaving it waits for both."""

    def __init__(self, path: Path) -> None:
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115
        self._hash = hashlib.sha256()
        self._threads = ThreadPoolExecutor(1, "hash"), ThreadPoolExecutor(1, "write")
        self._going: deque[tuple[Future[None], Future[None]]] = deque()
        self._written = self._sent = 0

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for thread in self._threads:
            thread.shutdown(cancel_futures=kind is not None)
        self._file.close()

    def add(self, data: memoryview) -> None:
        """Goes on with these bytes, which stay as they are until `PIECES` others were added. Errors: OSError."""
        hashing, writing = self._threads
        self._going.append((hashing.submit(self._hash.update, data), writing.submit(self._write, data)))
        if len(self._going) >= PIECES:
            self._end_one()

    def write(self, data: Any) -> int:
        """The same for writers that keep their bytes to themselves. Errors: OSError."""
        with memoryview(data).cast("B") as view:
            for begin in range(0, len(view), PIECE_BYTES):
                self.add(memoryview(bytes(view[begin : begin + PIECE_BYTES])))
            return len(view)

    def flush(self) -> None:
        """Nothing waits here; what torch writes to is asked for it."""

    def sha256(self) -> str:
        """Of all that was added, once it is written. Errors: OSError."""
        while self._going:
            self._end_one()
        return self._hash.hexdigest()

    def _end_one(self) -> None:
        for one in self._going.popleft():
            one.result()

    def _write(self, data: memoryview) -> None:
        while data:
            took = self._file.write(data)
            data = data[took:]
            self._written += took
        if self._written - self._sent > _ON_ITS_WAY_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), self._sent, self._written - self._sent, os.POSIX_FADV_DONTNEED)
            self._sent = self._written
