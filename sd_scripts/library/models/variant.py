"""What tells Stable Diffusion 1 and 2 apart: one value of this per family file."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor

from sd_scripts.library.models.configs import Config, Shapes


@dataclass(frozen=True)
class Variant:
    """Facts of one family, and its text encoder's two layouts."""

    name: str
    config: str
    """Name of its configurations in data/."""
    config_v: str | None
    """Name of what differs in its model that predicts velocity."""
    text_prefix: str
    pad_token: str
    takes_clip_skip: bool
    architectures: Mapping[str, str]
    """modelspec.architecture by prediction type."""
    resolution_px: Mapping[str, int]
    """Side of the pictures it was trained on, by prediction type."""
    text_config: Callable[[Shapes, Config], Config]
    """Configuration of a text encoder with original names."""
    text_to_clip: Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
    """transformers' tensors of the original ones, for a number of layers."""
    text_to_original: Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
    text_fill: Callable[[Mapping[str, Tensor], int], dict[str, Tensor]]
    """Original tensors that transformers' text encoder lacks and others expect, made from the original ones it has."""
