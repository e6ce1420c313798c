"""Number formats of the weights: float32, half of it, or 8 bits for what is not trained."""

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import torch
from torch import nn
from torch.autograd.graph import saved_tensors_hooks
from torch.nn import functional

from sd_scripts.library.train.replaced import replace_in_state
from sd_scripts.options.trainer import TrainerOptions

FP8 = torch.float8_e4m3fn


class WeightsPrecision(Protocol):
    """The options that say how weights are held (options.training.PrecisionOptions)."""

    full_fp16: bool
    full_bf16: bool


class ComputingPrecision(Protocol):
    """The option that says what is computed in (options.training.PrecisionOptions)."""

    mixed_precision: Any


def computed_in(precision: ComputingPrecision) -> torch.dtype:
    """What layers compute in."""
    return {"no": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}[precision.mixed_precision]


def encoding_precision(options: TrainerOptions) -> str:
    """The number format in which pictures are encoded: no (float32), fp16 or bf16."""
    return "no" if options.model.no_half_vae else options.precision.mixed_precision


def weights_dtype(precision: WeightsPrecision) -> torch.dtype:
    """What weights, and so gradients and the optimizer's memory, are held in."""
    if precision.full_fp16:
        return torch.float16
    return torch.bfloat16 if precision.full_bf16 else torch.float32


def to_fp8(weight: torch.Tensor) -> torch.Tensor:
    """Rounded to the nearest number of float8_e4m3fn (4 bits of exponent, 3 of fraction); beyond its largest, that."""
    largest = torch.finfo(FP8).max
    return weight.detach().clamp(-largest, largest).to(FP8)


def store_in_fp8(module: nn.Module, keep_exact: bool) -> None:
    """Holds the weights of all linear and convolution layers that are not trained in 8 bits.

    They are widened for each computation, to the dtype of mixed precision or else of the layer's input, and again in
    the backward pass: gradients flow through. Biases, norms and embeddings stay as they are. `keep_exact`: the weights
    as they were stay in RAM, and are what state_dict gives, so that saving loses nothing.
    """
    exact = {}
    for name, layer in _layers(module):
        if keep_exact:
            exact[f"{name}.weight"] = layer.weight.detach().cpu()
        layer.weight = nn.Parameter(to_fp8(layer.weight), requires_grad=False)
        layer.__class__ = _HELD_IN_FP8[type(layer)]
    if exact:
        replace_in_state(module, exact)


class Fp8Linear(nn.Linear):
    """A linear layer whose weight is held in 8 bits."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As nn.Linear."""
        return _widened(self, input, lambda weight: functional.linear(input, weight, self.bias))


class Fp8Conv2d(nn.Conv2d):
    """A convolution whose weight is held in 8 bits."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """As nn.Conv2d."""
        return _widened(self, input, lambda weight: self._conv_forward(input, weight, self.bias))


_HELD_IN_FP8: dict[type[nn.Module], type[nn.Module]] = {nn.Linear: Fp8Linear, nn.Conv2d: Fp8Conv2d}


def _layers(module: nn.Module) -> Iterator[tuple[str, Any]]:
    for name, layer in module.named_modules():
        if type(layer) in _HELD_IN_FP8 and not layer.weight.requires_grad:
            yield name, layer


def _widened(layer: Any, input: torch.Tensor, compute: Callable[[torch.Tensor], torch.Tensor]) -> torch.Tensor:
    """compute(weight) with the wide weight, of which the backward pass keeps nothing: it widens once more."""
    device = input.device.type
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else input.dtype
    wide = layer.weight.to(dtype)
    memory = wide.untyped_storage().data_ptr()

    def pack(saved: torch.Tensor) -> Any:
        if saved.untyped_storage().data_ptr() != memory:
            return saved
        return saved.size(), saved.stride(), saved.storage_offset()

    def unpack(packed: Any) -> torch.Tensor:
        return packed if isinstance(packed, torch.Tensor) else layer.weight.to(dtype).as_strided(*packed)

    with saved_tensors_hooks(pack, unpack):
        return compute(wide)
