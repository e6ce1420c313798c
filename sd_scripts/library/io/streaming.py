"""Writing a .safetensors file one tensor after the other, so that only one of them lies in memory."""

from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.io.tensor_file import Form, head, ordered
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report


def write_one_by_one(
    path: Path, forms: Mapping[str, Form], make: Callable[[str], Tensor], metadata: Mapping[str, str], report: Report
) -> None:
    """Writes what `make` gives for each name, in the form that is told before. Errors: BadFile, StoppedAsAsked."""
    names = ordered(forms)

    def write() -> None:
        with replacing(path) as beside, open(beside, "wb") as file:
            file.write(head(forms, metadata))
            for name in report.whole(names):
                file.write(_bytes(make(name), forms[name]))

    patiently(report, path, write)


def _bytes(tensor: Tensor, form: Form) -> memoryview:
    held = tensor.detach().to("cpu", form.dtype).contiguous()
    if tuple(held.shape) != form.shape:
        raise ValueError(f"the tensor has the shape {tuple(held.shape)}, and {form.shape} was told")
    return memoryview(held.reshape(-1).view(torch.uint8).numpy())
