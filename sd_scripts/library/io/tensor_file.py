"""The bytes of files of tensors, hashed while they are written, so that nothing is read a second time.

Source of the .safetensors layout: its format (length of the header, header as JSON, then the tensors' bytes); the order
is that of the safetensors package: types by name of their width, then names.
"""

import hashlib
import json
import math
import os
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sd_scripts.library.io.headers import in_utf8

NAMES = {
    torch.uint64: "U64", torch.int64: "I64", torch.float64: "F64", torch.complex64: "C64",
    torch.float32: "F32", torch.uint32: "U32", torch.int32: "I32",
    torch.bfloat16: "BF16", torch.float16: "F16", torch.uint16: "U16", torch.int16: "I16",
    torch.float8_e8m0fnu: "F8_E8M0", torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
"""The number formats of .safetensors files, the widest first: so each tensor begins where its numbers may, as readers
that map the file want it."""

_RANKS = {dtype: rank for rank, dtype in enumerate(NAMES)}
_ALIGNMENT_BYTES = 8
# Small enough for a processor's cache, where what was converted is found again by who hashes and who writes. Enough of
# them that both go on while torch computes the checksum of a large tensor.
ROOM_BYTES = 1 << 20
ROOMS = 8
_CONVERTERS = 2
# Pieces on their way; those that are written as they lie in memory take no room.
_MOST = 16
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
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **in_utf8(metadata)}}
    begin = 0
    for name in ordered(forms):
        form = forms[name]
        end = begin + form.size_bytes
        header[name] = {"dtype": NAMES[form.dtype], "shape": list(form.shape), "data_offsets": [begin, end]}
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
    """A new file. One thread hashes what it is given, one writes it, and others convert numbers before.

    Leaving it waits for all. `pinned`: tensors come from a GPU.
    """

    def __init__(self, path: Path, pinned: bool = False) -> None:
        self._pinned = pinned
        self._hash = hashlib.sha256()
        self._hashing, self._writing = ThreadPoolExecutor(1, "hash"), ThreadPoolExecutor(1, "write")
        self._converting = ThreadPoolExecutor(_CONVERTERS, "convert")
        self._going: deque[_Piece] = deque()
        self._free: list[Tensor] = []
        self._rooms = 0
        self._room: Tensor | None = None
        self._filled = self._written = self._sent = 0
        self._file = open(path, "wb", buffering=0)  # noqa: SIM115

    def __enter__(self) -> "HashedFile":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        for thread in (self._converting, self._hashing, self._writing):
            thread.shutdown(cancel_futures=kind is not None)
        self._file.close()

    def add(self, tensor: Tensor, dtype: torch.dtype) -> None:
        """Goes on with the numbers of a tensor, which stay as they are until `sha256` was told. Errors: OSError."""
        self._send()
        numbers_N = tensor.detach().contiguous().reshape(-1)
        as_it_lies = numbers_N.dtype == dtype and numbers_N.device.type == "cpu"
        for part_N in numbers_N.split(ROOM_BYTES // dtype.itemsize):
            if as_it_lies:
                self._hand_over(partial(_bytes, part_N))
            else:
                room = self._next_room()
                held_N = room[: len(part_N) * dtype.itemsize].view(dtype)
                self._hand_over(self._converting.submit(_converted, part_N, held_N).result, room)

    def write(self, data: Any) -> int:
        """Goes on with a copy of these bytes. Errors: OSError."""
        with memoryview(data).cast("B") as view:
            done = 0
            while done < len(view):
                if self._filled == ROOM_BYTES:
                    self._send()
                if self._room is None:
                    self._room = self._next_room()
                part = view[done : done + ROOM_BYTES - self._filled]
                memoryview(self._room.numpy())[self._filled : self._filled + len(part)] = part
                self._filled += len(part)
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

    def _send(self) -> None:
        """Hands over what was copied."""
        if self._room is not None:
            self._hand_over(partial(_bytes, self._room[: self._filled]), self._room)
            self._room, self._filled = None, 0

    def _hand_over(self, data: Callable[[], memoryview], room: Tensor | None = None) -> None:
        hashed, written = self._hashing.submit(self._add_up, data), self._writing.submit(self._write, data)
        self._going.append(_Piece(hashed, written, room))
        if len(self._going) == _MOST:
            self._end_one()

    def _next_room(self) -> Tensor:
        while not self._free:
            if self._rooms < ROOMS:
                try:
                    self._free.append(torch.empty(ROOM_BYTES, dtype=torch.uint8, pin_memory=self._pinned))
                    self._rooms += 1
                    break
                except RuntimeError:
                    # Memory is short: fewer do as well, and nothing that was learnt is lost for it.
                    if not self._rooms:
                        raise
            self._end_one()
        return self._free.pop()

    def _end_one(self) -> None:
        """Waits until the first that was handed over is hashed and written."""
        piece = self._going.popleft()
        piece.hashed.result()
        piece.written.result()
        if piece.room is not None:
            self._free.append(piece.room)

    def _add_up(self, data: Callable[[], memoryview]) -> None:
        self._hash.update(data())

    def _write(self, data: Callable[[], memoryview]) -> None:
        left = data()
        while left:
            took = self._file.write(left)
            left = left[took:]
            self._written += took
        if self._written - self._sent > _ON_ITS_WAY_BYTES and hasattr(os, "posix_fadvise"):
            os.posix_fadvise(self._file.fileno(), self._sent, self._written - self._sent, os.POSIX_FADV_DONTNEED)
            self._sent = self._written


class _Piece(NamedTuple):
    """Some bytes on their way, and the room that they take."""

    hashed: Future[None]
    written: Future[None]
    room: Tensor | None


def _bytes(part_N: Tensor) -> memoryview:
    return memoryview(part_N.view(torch.uint8).numpy())


def _converted(part_N: Tensor, held_N: Tensor) -> memoryview:
    """A piece in the number format of `held_N`, which takes it."""
    length = _ALONE if part_N.device.type == "cpu" else len(part_N)
    for part, held in zip(part_N.split(length), held_N.split(length), strict=True):
        held.copy_(part)
    return _bytes(held_N)
