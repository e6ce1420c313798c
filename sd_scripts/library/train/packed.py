"""Weights of a frozen model in 8 or 4 bits: blocks of numbers with one scale each, packed by bitsandbytes.

Source: Dettmers et al., "8-bit Optimizers via Block-wise Quantization", 2022 (section 2.1), and "QLoRA: Efficient
Finetuning of Quantized LLMs", 2023 (section 3, the 16 numbers of NormalFloat).
"""

import logging
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.precision import Fp8Conv2d, Fp8Linear

# On the CPU it looks for a package that only whole products in 4 bits would use, and warns that there is none.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)

BLOCKS = {8: 256, 4: 64}
"""How many weights have one scale, by bits."""


class _Packed:
    """A layer without a weight of its own: whoever asks for it gets it unpacked, in `held_in`."""

    def pack(self: Any, bits: int, device: torch.device) -> None:
        """Packs the weight on the device."""
        weight = self._parameters.pop("weight").detach()
        self.held_in, self.bits, self._shape = weight.dtype, bits, weight.shape
        for name, tensor in packed(weight.to(device), bits).items():
            self.register_buffer(name, tensor)

    @property
    def weight(self: Any) -> Tensor:
        """The weight, unpacked."""
        flat = _UNPACK[self.bits](self.packed, self.scales, self.code, self.held_in)
        return flat[: self._shape.numel()].view(self._shape)


class PackedLinear(_Packed, Fp8Linear):
    """A linear layer whose weight is packed; it computes as the one in fp8 does, with a wide weight for the moment."""


class PackedConv2d(_Packed, Fp8Conv2d):
    """A convolution whose weight is packed."""


_PACKED: dict[type[nn.Module], Any] = {nn.Linear: PackedLinear, nn.Conv2d: PackedConv2d}


def store_packed(module: nn.Module, bits: int, device: torch.device) -> None:
    """Packs the weights of all linear and convolution layers; biases, norms and embeddings stay as they are."""
    layers: list[Any] = [layer for layer in module.modules() if type(layer) in _PACKED]
    for layer in layers:
        layer.__class__ = _PACKED[type(layer)]
        layer.pack(bits, device)


def packed(weight: Tensor, bits: int) -> dict[str, Tensor]:
    """A weight as numbers of 8 bits, one or two to each, with the scales of its blocks and the table of values."""
    # In one row of whole blocks: on the CPU bitsandbytes unpacks others wrongly.
    flat = nn.functional.pad(weight.flatten(), (0, -weight.numel() % BLOCKS[bits]))
    numbers, state = _PACK[bits](flat)
    return {"packed": numbers.flatten(), "scales": state.absmax, "code": state.code}


def check_packing(bits: int | None, device: torch.device) -> None:
    """Packs a little on the device that trains. Errors: BadOption, where it cannot."""
    if bits is None:
        return
    try:
        held = packed(torch.ones(BLOCKS[bits], device=device), bits)
        again = _UNPACK[bits](held["packed"], held["scales"], held["code"], torch.float32)
        comes_back = bool((again == 1).all())
    except (ImportError, RuntimeError, NotImplementedError, AttributeError, ValueError):
        comes_back = False
    if not comes_back:
        sentence = f"bitsandbytes cannot do that on this device, {device.type}"
        raise BadOption("base_bits", f"--base_bits {bits}: {sentence}. Use --fp8_base_unet, or leave it out.")


def _pack8(flat: Tensor) -> Any:
    from bitsandbytes.functional import quantize_blockwise

    return quantize_blockwise(flat, blocksize=BLOCKS[8])


def _pack4(flat: Tensor) -> Any:
    from bitsandbytes.functional import quantize_4bit

    return quantize_4bit(flat, blocksize=BLOCKS[4], quant_type="nf4")


def _unpack8(numbers: Tensor, scales: Tensor, code: Tensor, dtype: torch.dtype) -> Tensor:
    from bitsandbytes.functional import QuantState, dequantize_blockwise

    state = QuantState(scales, shape=numbers.shape, code=code, blocksize=BLOCKS[8], dtype=dtype)
    return dequantize_blockwise(numbers, state)


def _unpack4(numbers: Tensor, scales: Tensor, code: Tensor, dtype: torch.dtype) -> Tensor:
    from bitsandbytes.functional import QuantState, dequantize_4bit

    shape = torch.Size([2 * len(numbers)])
    state = QuantState(scales, shape=shape, code=code, blocksize=BLOCKS[4], quant_type="nf4", dtype=dtype)
    return dequantize_4bit(numbers.view(-1, 1), state).flatten()


_PACK: dict[int, Callable[[Tensor], Any]] = {8: _pack8, 4: _pack4}
_UNPACK: dict[int, Callable[[Tensor, Tensor, Tensor, torch.dtype], Tensor]] = {8: _unpack8, 4: _unpack4}
