"""The bytes of files of tensors, hashed while they are written, so that nothing is read a second time.

Source of the .safetensors layout: its format (length of the header, header as JSON, then the tensors' bytes); the order
is that of the safetensors package: types by name of their width, then names.
"""

import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
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
# Small enough for a processor's cache, where what was converted is found again by who hashes and who writes. Enough of
# them that both go on while torch computes the checksum of a large tensor.
ROOM_BYTES = 1 << 22
ROOMS = 8
# A longer copy would be shared out to all of torch's threads, which are at work in training, or for others.
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

    Errors: OSError.
    """
    forms = {name: Form(dtypes.get(name, tensor.dtype), tuple(tensor.shape)) for name, tensor in tensors.items()}
    with HashedFile(path, pinned=any(tensor.is_cuda for tensor in tensors.values())) as file:
        file.write(head(forms, metadata))
        for name in ordered(forms):
            file.add(tensors[name], forms[name].dtype)
        return file.sha256()


class HashedFile:
    """A new file. While its next bytes are put together, one thread hashes earlier ones, and one writes them.

    Leaving it waits for both. `pinned`: tensors come from a GPU.
    """

    def __init__(self, path: Path, pinned: bool = False) -> None:
        self._pinned = pinned
        self._hash = hashlib.sha256()
        self._threads = ThreadPoolExecutor(1, "hash"), ThreadPoolExecutor(1, "write")
        self._going: deque[tuple[Tensor, Future[None], Future[None]]] = deque()
        self._room, self._filled = self._next_room(), 0
        self._written = self._sent = 0
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for thread in self._threads:
            thread.shutdown(cancel_futures=kind is not None)
        self._file.close()

    def add(self, tensor: Tensor, dtype: torch.dtype) -> None:
        """Goes on with the numbers of a tensor, in a number format of the file. Errors: OSError."""
        numbers_N = tensor.detach().contiguous().reshape(-1)
        if numbers_N.dtype == dtype and not numbers_N.is_cuda and len(numbers_N):
            self.write(memoryview(numbers_N.view(torch.uint8).numpy()))
            return
        done = 0
        while done < len(numbers_N):
            part_N = numbers_N[done : done + self._left() // dtype.itemsize]
            _convert(part_N, self._take(len(part_N) * dtype.itemsize).view(dtype))
            done += len(part_N)

    def write(self, data: Any) -> int:
        """Goes on with these bytes. Errors: OSError."""
        with memoryview(data).cast("B") as view:
            done = 0
            while done < len(view):
                part = view[done : done + self._left()]
                memoryview(self._take(len(part)).numpy())[:] = part
                done += len(part)
            return done

    def flush(self) -> None:
        """What torch writes to is asked for it; nothing is held back for long."""

    def sha256(self) -> str:
        """Of all that was added, once it is written. Errors: OSError."""
        self._send()
        while self._going:
            self._end_one()
        return self._hash.hexdigest()

    def _left(self) -> int:
        """Bytes that the room takes; at least one."""
        if self._filled == ROOM_BYTES:
            self._send()
        return ROOM_BYTES - self._filled

    def _take(self, size_bytes: int) -> Tensor:
        begin, self._filled = self._filled, self._filled + size_bytes
        return self._room[begin : self._filled]

    def _send(self) -> None:
        """Hands over what the room holds, and takes another."""
        hashing, writing = self._threads
        data = memoryview(self._room[: self._filled].numpy())
        self._going.append((self._room, hashing.submit(self._hash.update, data), writing.submit(self._write, data)))
        self._room, self._filled = self._next_room(), 0

    def _next_room(self) -> Tensor:
        if len(self._going) == ROOMS - 1:
            return self._end_one()
        try:
            return torch.empty(ROOM_BYTES, dtype=torch.uint8, pin_memory=self._pinned)
        except RuntimeError:
            if not self._going:
                raise
            # Memory is short: fewer do as well, and nothing that was learnt is lost for it.
            return self._end_one()

    def _end_one(self) -> Tensor:
        """Waits until the first that was handed over is hashed and written; its room."""
        room, hashed, written = self._going.popleft()
        hashed.result()
        written.result()
        return room

    def _write(self, data: memoryview) -> None:
        while data:
            took = self._file.write(data)
            data = data[took:]
            self._written += took
        if self._written - self._sent > _ON_ITS_WAY_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), self._sent, self._written - self._sent, os.POSIX_FADV_DONTNEED)
            self._sent = self._written


def _convert(part_N: Tensor, held_N: Tensor) -> None:
    length = len(part_N) if part_N.is_cuda else _ALONE
    for part, held in zip(part_N.split(length), held_N.split(length), strict=True):
        held.copy_(part)
