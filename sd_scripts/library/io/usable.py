"""Whether the numbers of a small file (a network, an embedding, a hypernetwork) can be worked with."""

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from sd_scripts.library.errors import BadFile

# Tables of places, which LyCORIS stores beside its matrices.
_WHOLE = ".bias_indices"


def usable(path: str | Path, name: str, tensor: Tensor) -> Tensor:
    """A tensor of a file; of 8-bit floats the same numbers in float32, as nothing computes in 8 bits.

    Errors: BadFile, where they are not finite, or a matrix of integers.
    """
    if holds_integers(name, tensor):
        kind = str(tensor.dtype).removeprefix("torch.")
        raise BadFile(f"{path}: {name} holds {kind}, no numbers that can be trained. Use another copy.")
    tensor = wide(tensor)
    if not bool(tensor.isfinite().all()):
        raise no_numbers(path, name)
    return tensor


def all_usable(path: str | Path, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The same of all tensors. Errors: BadFile."""
    return {name: usable(path, name, tensor) for name, tensor in tensors.items()}


def wide(tensor: Tensor) -> Tensor:
    """A tensor in a format that can be computed in."""
    return tensor.float() if tensor.is_floating_point() and tensor.element_size() == 1 else tensor


def holds_integers(name: str, tensor: Tensor) -> bool:
    """Whether what should be a matrix of fractions holds integers; alphas and marks may."""
    return tensor.ndim > 1 and not tensor.is_floating_point() and not name.endswith(_WHOLE)


def no_numbers(path: str | Path, name: str) -> BadFile:
    """What is said of a file one of whose tensors is no numbers."""
    sentence = f"{name} holds NaN or infinite numbers, and so would all that is made of it"
    return BadFile(f"{path} is damaged: {sentence}. Use another copy of the file.")
