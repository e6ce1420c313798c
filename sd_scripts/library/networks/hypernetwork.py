"""Hypernetworks (formats.md): small networks that change what attention reads its keys and values from.

    hypernetwork = load_hypernetwork("style.pt").to(device)
    detach = attach(hypernetwork, unet, strength=0.8)
    ...                 # the U-Net answers with it
    detach()            # and without it again

`load_hypernetwork` is in `hypernetwork_file.py`, which reads and writes the files; what it gives is in evaluation mode,
in which nothing is dropped. Several may be attached at once: each changes what the one before has made. A U-Net that is
compiled takes notice only of what was attached before.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import init

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.networks.hypernetwork_shape import Shape

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "linear": nn.Identity,
    "relu": nn.ReLU,
    "leakyrelu": nn.LeakyReLU,
    "elu": nn.ELU,
    "swish": nn.Hardswish,
    "tanh": nn.Tanh,
    "sigmoid": nn.Sigmoid,
    "celu": nn.CELU,
    "gelu": nn.GELU,
    "hardshrink": nn.Hardshrink,
    "hardsigmoid": nn.Hardsigmoid,
    "hardswish": nn.Hardswish,
    "hardtanh": nn.Hardtanh,
    "logsigmoid": nn.LogSigmoid,
    "mish": nn.Mish,
    "prelu": nn.PReLU,
    "relu6": nn.ReLU6,
    "rrelu": nn.RReLU,
    "selu": nn.SELU,
    "silu": nn.SiLU,
    "softplus": nn.Softplus,
    "softshrink": nn.Softshrink,
    "softsign": nn.Softsign,
    "tanhshrink": nn.Tanhshrink,
}
"""As AUTOMATIC1111 names them: its own seven (swish is the hard one), then those of torch that change numbers one by
one. It knows torch's others too, such as softmax, which there mixes the pictures of a batch: they are not read."""

_KEYS, _VALUES = "k", "v"


class Change(nn.Module):
    """One module: context + strength * f(context), for contexts of one width."""

    def __init__(self, width: int, shape: Shape) -> None:
        super().__init__()
        self.linear = nn.Sequential(*_layers(width, shape))

    def forward(self, context_BLD: Tensor, strength: float = 1.0) -> Tensor:
        """The changed context_BLD, in its own dtype; f is computed in that of its weights."""
        held: Any = next(self.linear.parameters())
        change_BLD = self.linear(context_BLD.to(held.dtype))
        return context_BLD + change_BLD.to(context_BLD.dtype) * strength


class Hypernetwork(nn.Module):
    """A pair of modules, for keys and for values, for each width of context.

    `name` and `step` are what its file says: how it is called, and how many steps it has been trained.
    """

    def __init__(self, widths: Iterable[int], shape: Shape, name: str = "", step: int = 0) -> None:
        super().__init__()
        self.shape, self.name, self.step = shape, name, step
        self.pairs = nn.ModuleDict({str(width): _pair(width, shape) for width in sorted(set(widths))})

    @property
    def widths(self) -> list[int]:
        """The widths of context that it changes, 768 for SD1's texts among them."""
        return [int(width) for width in self.pairs]

    def pair(self, width: int) -> nn.ModuleDict:
        """The modules of a width: k and v."""
        pair: Any = self.pairs[str(width)]
        return pair

    @torch.no_grad()
    def draw(self) -> None:
        """Draws new weights by lot, from torch's generator, as `shape` says."""
        for layer in self.modules():
            if isinstance(layer, nn.LayerNorm):
                _DRAWN["Normal"](layer.weight, "")
                init.zeros_(layer.bias)
            elif isinstance(layer, nn.Linear):
                _DRAWN[self.shape.initialisation](layer.weight, self.shape.activation)
                init.zeros_(layer.bias)


def attach(hypernetwork: Hypernetwork, unet: nn.Module, strength: float = 1.0) -> Callable[[], None]:
    """From now on the U-Net's attention reads changed contexts, wherever their width is one of the hypernetwork's.

    That is cross-attention (768 in SD1, 1024 in SD2) and self-attention (320, 640, 1280). The hypernetwork must be on
    the U-Net's device; its dtype is its own. Gives what ends it. Errors: BadFile, where no width is the model's.
    """
    places = [place for place in _places(unet) if place[0] in hypernetwork.widths]
    if not places:
        own, there = _listed(hypernetwork.widths), _listed(context_widths(unet))
        sentence = f"the hypernetwork {hypernetwork.name} is for contexts of width {own}, and this model has {there}"
        raise BadFile(f"Nothing would change: {sentence}. Use it with the kind of model that it was trained on.")
    handles = [
        layer.register_forward_pre_hook(_changing(hypernetwork.pair(width)[part], strength))
        for width, part, layer in places
    ]

    def detach() -> None:
        for handle in handles:
            handle.remove()

    return detach


def context_widths(unet: nn.Module) -> list[int]:
    """The widths of what a U-Net's attention reads its keys and values from."""
    return sorted({width for width, _, _ in _places(unet)})


def _places(unet: nn.Module) -> Iterator[tuple[int, str, Any]]:
    """(width of context, k or v, layer) of each layer that makes keys or values."""
    for attention in unet.modules():
        for part in (_KEYS, _VALUES):
            layer: Any = getattr(attention, f"to_{part}", None)
            if isinstance(layer, nn.Module):
                yield layer.in_features, part, layer


def _changing(change: nn.Module, strength: float) -> Callable[..., tuple[Any, ...]]:
    def hook(_layer: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
        return (change(inputs[0], strength), *inputs[1:])

    return hook


def _pair(width: int, shape: Shape) -> nn.ModuleDict:
    return nn.ModuleDict({part: Change(width, shape) for part in (_KEYS, _VALUES)})


def _layers(width: int, shape: Shape) -> Iterator[nn.Module]:
    """For each layer a Linear, then as the shape says activation, LayerNorm and Dropout, which count as entries too."""
    sizes = [_size(width, times) for times in shape.layers]
    last = len(sizes) - 2
    for number, (before, after, dropped) in enumerate(zip(sizes, sizes[1:], shape.dropout[1:], strict=False)):
        yield nn.Linear(before, after)
        if shape.activation != "linear" and (number < last or shape.activate_output):
            yield ACTIVATIONS[shape.activation]()
        if shape.layer_norm:
            yield nn.LayerNorm(after)
        if dropped:
            yield nn.Dropout(dropped)


def _size(width: int, times: float) -> int:
    size = int(width * times)
    if not size:
        sentence = f"{times:g} of the width {width} is less than one number. Use larger ones, such as 0.5."
        raise BadOption("layer_structure", f"--layer_structure: {sentence}")
    return size


def _kaiming(draw: Callable[..., Any]) -> Callable[[Tensor, str], Any]:
    """He et al. 2015, with the gain of ReLU or its leaky form."""
    return lambda weight, activation: draw(weight, nonlinearity="leaky_relu" if activation == "leakyrelu" else "relu")


_DRAWN: dict[str, Callable[[Tensor, str], Any]] = {
    "Normal": lambda weight, _: init.normal_(weight, mean=0.0, std=0.01),
    "XavierUniform": lambda weight, _: init.xavier_uniform_(weight),
    "XavierNormal": lambda weight, _: init.xavier_normal_(weight),
    "KaimingUniform": _kaiming(init.kaiming_uniform_),
    "KaimingNormal": _kaiming(init.kaiming_normal_),
}


def _listed(widths: Iterable[int]) -> str:
    return ", ".join(str(width) for width in widths) or "none"
