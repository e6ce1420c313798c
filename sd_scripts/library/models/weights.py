"""Modules made around tensors that are already there: no second copy, no random weights in between."""

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadFile


def build(kind: Any, config: Mapping[str, Any], tensors: Mapping[str, Tensor], source: Path) -> Any:
    """A module of diffusers' class `kind` whose parameters are `tensors` themselves, in evaluation mode.

    Errors: BadFile, naming `source`, when the tensors do not fit.
    """
    try:
        with without_numbers():
            module = kind.from_config(dict(config))
    except Exception as error:  # diffusers does not check what a configuration says
        raise BadFile(f"{source} has a configuration that makes no model ({error}). Copy the model again.") from error
    return adopt(module, tensors, source)


@contextmanager
def without_numbers() -> Iterator[None]:
    """Modules that are made meanwhile have parameters without memory, and nothing is drawn by lot for them."""
    from accelerate import init_empty_weights
    from transformers.initialization import no_init_weights

    with no_init_weights(), _unfilled(), init_empty_weights():
        yield


@contextmanager
def _unfilled() -> Iterator[None]:
    """torch's layers leave their parameters as they are: it would reason about the shapes of what has no memory."""
    fillings = [kind.reset_parameters for kind in _LAYERS]
    for kind in _LAYERS:
        kind.reset_parameters = _leave
    try:
        yield
    finally:
        for kind, filling in zip(_LAYERS, fillings, strict=True):
            kind.reset_parameters = filling


_LAYERS: tuple[Any, ...] = (nn.Linear, nn.Conv2d, nn.GroupNorm, nn.LayerNorm, nn.Embedding)


def _leave(_layer: nn.Module) -> None: ...


def adopt(module: nn.Module, tensors: Mapping[str, Tensor], source: Path) -> nn.Module:
    """`module` with `tensors` as its parameters, every one of them. Errors: BadFile, naming `source`."""
    expected = module.state_dict()
    for name in sorted(expected.keys() | tensors.keys()):
        here, there = expected.get(name), tensors.get(name)
        if here is None or there is None:
            what = "has no tensor" if there is None else "has an unknown tensor"
            raise BadFile(f"{source} {what} {name}, so it is incomplete or of another kind of model.")
        if here.shape != there.shape:
            raise BadFile(f"{source}: {name} has the shape {tuple(there.shape)}, where {tuple(here.shape)} fits.")
        if here.is_floating_point() and not there.is_floating_point():
            kind = str(there.dtype).removeprefix("torch.")
            raise BadFile(f"{source}: {name} holds {kind}, no numbers that can be trained. Use another copy.")
    module.load_state_dict(dict(tensors), strict=True, assign=True)
    return module.eval()


def one_dtype(tensors: Mapping[str, Tensor]) -> torch.dtype:
    """The number format that most of the values have."""
    sizes: Counter[torch.dtype] = Counter()
    for tensor in tensors.values():
        if tensor.is_floating_point():
            sizes[tensor.dtype] += tensor.numel()
    return max(sizes, key=sizes.__getitem__)
