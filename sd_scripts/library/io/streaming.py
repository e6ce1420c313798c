"""Writing a .safetensors file one tensor after the other, so that only one of them lies in memory.

Source of the layout: the safetensors format (length of the header, header as JSON, then the tensors' bytes).
"""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report

_NAMES = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8", torch.uint8: "U8", torch.bool: "BOOL",
}  # fmt: skip
_ALIGNMENT_BYTES = 8


class Form(NamedTuple):
    """A tensor that is to be written."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Bytes that it takes."""
        return math.prod(self.shape) * self.dtype.itemsize


def write_one_by_one(
    path: Path, forms: Mapping[str, Form], make: Callable[[str], Tensor], metadata: Mapping[str, str], report: Report
) -> None:
    """Writes what `make` gives for each name, in the form that is told before. Errors: BadFile, StoppedAsAsked."""
    # The widest numbers first: so each tensor begins where its numbers may, as readers that map the file want it.
    names = sorted(forms, key=lambda name: (-forms[name].dtype.itemsize, name))

    def write() -> None:
        with replacing(path) as beside, open(beside, "wb") as file:
            file.write(_head({name: forms[name] for name in names}, metadata))
            for name in report.whole(names):
                file.write(_bytes(make(name), forms[name]))

    patiently(report, path, write)


def _head(forms: Mapping[str, Form], metadata: Mapping[str, str]) -> bytes:
    header: dict[str, Any] = {"__metadata__": {"format": "pt", **metadata}}
    begin = 0
    for name, form in forms.items():
        end = begin + form.size_bytes
        header[name] = {"dtype": _NAMES[form.dtype], "shape": list(form.shape), "data_offsets": [begin, end]}
        begin = end
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode("utf-8")
    text += b" " * (-len(text) % _ALIGNMENT_BYTES)
    return len(text).to_bytes(8, "little") + text


def _bytes(tensor: Tensor, form: Form) -> memoryview:
    held = tensor.detach().to("cpu", form.dtype).contiguous()
    if tuple(held.shape) != form.shape:
        raise ValueError(f"the tensor has the shape {tuple(held.shape)}, and {form.shape} was told")
    return memoryview(held.reshape(-1).view(torch.uint8).numpy())
