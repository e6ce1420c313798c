"""Writes .safetensors files tensor by tensor: never more than one of them in memory.

The format: 8 bytes with the length of a JSON header, the header, the tensors' bytes one after the other.
Source: the description in the README of huggingface/safetensors.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sd_scripts.library.io.atomic import replacing

# As safetensors names the types that models have.
_NAMES = {
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64",
    torch.int32: "I32",
    torch.int16: "I16",
    torch.int8: "I8",
    torch.uint8: "U8",
    torch.bool: "BOOL",
}


class Slot(NamedTuple):
    """What a tensor in a file will be."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """How much of the file it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_streamed(
    path: Path, slots: Mapping[str, Slot], tensor_of: Callable[[str], Tensor], metadata: Mapping[str, str]
) -> None:
    """Writes a file with a tensor for each slot, asked for one by one in the order of the slots. Errors: BadFile."""
    with replacing(path) as beside, open(beside, "wb") as file:
        file.write(_header(slots, metadata))
        for name, slot in slots.items():
            tensor = tensor_of(name)
            if (tensor.dtype, tuple(tensor.shape)) != slot:
                raise ValueError(f"{name} is {tensor.dtype} {tuple(tensor.shape)}, and its slot {slot}")
            file.write(_bytes(tensor))


def _header(slots: Mapping[str, Slot], metadata: Mapping[str, str]) -> bytes:
    entries: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    for (name, slot), end in zip(slots.items(), _ends(slots.values()), strict=True):
        offsets = [end - slot.size_bytes, end]
        entries[name] = {"dtype": _NAMES[slot.dtype], "shape": list(slot.shape), "data_offsets": offsets}
    text = json.dumps(entries, ensure_ascii=False, separators=(",", ":")).encode()
    # Tensors begin at a multiple of 8, so that they can be mapped into memory.
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text


def _ends(slots: Iterable[Slot]) -> Iterable[int]:
    end = 0
    for slot in slots:
        end += slot.size_bytes
        yield end


def _bytes(tensor: Tensor) -> Any:
    """A tensor's numbers as they stand in memory, which is little-endian on every machine that torch runs on."""
    return tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy()
