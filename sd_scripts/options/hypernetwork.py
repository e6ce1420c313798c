"""Options of hypernetworks: what is trained beside a model that stays as it is."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.network import NetworkFormatOptions
from sd_scripts.options.spec import PathTo, Range

Activation = Literal[
    "linear", "relu", "leakyrelu", "elu", "swish", "tanh", "sigmoid",
    "celu", "gelu", "hardshrink", "hardsigmoid", "hardswish", "hardtanh", "logsigmoid", "mish", "prelu", "relu6",
    "rrelu", "selu", "silu", "softplus", "softshrink", "softsign", "tanhshrink",
]  # fmt: skip


@dataclass(kw_only=True)
class HypernetworkOptions:
    """The hypernetwork that is trained: small networks that change what attention reads."""

    hypernetwork_weights: Annotated[str | None, PathTo("file")] = None
    """A hypernetwork's file to go on from: its weights, and its layers in place of those asked for here."""

    enable_sizes: Annotated[list[int] | None, Range(low=1)] = None
    """Widths of what attention reads that are changed: 768 (1024 in SD2) is text. Empty: all that the model has."""

    layer_structure: Annotated[list[float] | None, Range(low=0.0)] = None
    """Widths before the first and after each layer, in multiples of the input's; first and last are 1. Empty: 1 2 1."""

    activation: Activation = "linear"
    """Function after each layer but the last. linear: none."""

    layer_norm: bool = False
    """Normalise what comes out of each layer."""

    initialisation: Literal["Normal", "XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"] = "Normal"
    """How the first weights are drawn: Normal begins close to no change, the others far from it."""

    use_dropout: bool = False
    """Leave out 30 % of the numbers by lot in each step, after each layer but the last two."""

    last_layer_dropout: bool = False
    """With use_dropout: after the last layer but one too."""

    dropout_structure: Annotated[list[float] | None, Range(low=0.0, high=1.0)] = None
    """Shares that are left out instead, one for each number of layer_structure, first and last 0, such as 0 0.1 0."""

    hypernetwork_strength: Annotated[float, Range(low=0.0)] = 1.0
    """How strongly it acts while it is trained and in samples; later it is to be used as strongly."""


@dataclass(kw_only=True)
class HypernetworkFormatOptions(NetworkFormatOptions):
    """The form of the saved files."""

    save_model_as: Literal["pt", "safetensors"] = "pt"
    """Format of the saved hypernetworks. Web UIs read .pt; .safetensors has a header that tells of the training."""
