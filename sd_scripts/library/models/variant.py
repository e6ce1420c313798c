"""What tells the families apart: one value of this per family file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from sd_scripts.library.models.configs import Config, Shapes

Renaming = Callable[[Mapping[str, Tensor]], dict[str, Tensor]]


@dataclass(frozen=True)
class TextVariant:
    """Facts of one text encoder, and its layouts."""

    folder: str
    """Its folder in diffusers' layout, and the name of its configuration in data/."""
    tokenizer: str
    """The folder of its tokenizer."""
    kind: str
    """transformers' class."""
    prefix: str
    pad_token: str
    read_config: Callable[[Shapes, Config], Config]
    """Its configuration, of the shapes of original tensors."""
    to_clip: Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
    """transformers' tensors of the original ones, for a number of layers."""
    to_original: Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
    fill: Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
    """Original tensors that transformers' text encoder lacks and others expect, made from the original ones it has."""
    from_folder: Renaming
    to_folder: Renaming
    """The names that files in folders have, of those in memory."""


@dataclass(frozen=True)
class Variant:
    """Facts of one family."""

    name: str
    config: str
    """Name of its configurations in data/."""
    config_v: str | None
    """Name of what differs in its model that predicts velocity."""
    texts: tuple[TextVariant, ...]
    takes_clip_skip: bool
    architectures: Mapping[str, str]
    """modelspec.architecture by prediction type."""
    resolution_px: Mapping[str, int]
    """Side of the pictures it was trained on, by prediction type."""
    pipeline: str
    """diffusers' class of the whole."""
    sampler: str
    """The sampler that its folders name."""
