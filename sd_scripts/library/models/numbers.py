"""Number formats and devices that the tools for models and networks are asked for."""

import torch

from sd_scripts.library.errors import BadOption

_DTYPES = {
    **dict.fromkeys(("float", "float32"), torch.float32),
    **dict.fromkeys(("fp16", "float16"), torch.float16),
    **dict.fromkeys(("bf16", "bfloat16"), torch.bfloat16),
}
"""By the names that sd-scripts gives them, and those of LyCORIS."""


def dtype_of(name: str | None) -> torch.dtype:
    """A number format by its name; None: float."""
    return _DTYPES[name or "float"]


def device_of(option: str, name: str | None) -> torch.device:
    """A device that this machine has; None: the CPU. Errors: BadOption."""
    try:
        device = torch.device(name or "cpu")
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError):
        sentence = f"--{option} {name}: this machine has no such device. Use cpu, or leave it out."
        raise BadOption(option, sentence) from None
    return device
