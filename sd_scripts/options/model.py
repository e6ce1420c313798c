"""Options that say which model is trained, and how its texts are read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.spec import PathTo, Range


@dataclass(kw_only=True)
class ModelOptions:
    """The model that training starts from."""

    pretrained_model_name_or_path: Annotated[str | None, PathTo("model")] = None
    """Base model: a .safetensors or .ckpt file, a diffusers folder or a hub id."""

    v2: bool = False
    """The base model is Stable Diffusion 2."""

    v_parameterization: bool = False
    """The base model predicts velocity (Stable Diffusion 2 for 768 px, and some made from Stable Diffusion 1)."""

    vae: Annotated[str | None, PathTo("vae")] = None
    """Another VAE to use instead of the base model's own: a file, a diffusers folder or a hub id."""

    no_half_vae: bool = False
    """Run the VAE in float32 even under mixed precision."""


@dataclass(kw_only=True)
class TextEncodingOptions:
    """How captions are read by the text encoder."""

    clip_skip: Annotated[int | None, Range(low=1)] = None
    """Which text layer is read, counted from the end: 1 the last, 2 the last but one. Not for Stable Diffusion 2."""

    max_token_length: Literal[75, 150, 225] | None = None
    """Longest caption in tokens. Empty: 75."""

    weighted_captions: bool = False
    """Weights in captions: (more), (more:1.3), [less]; \\( is a bracket. Commas in brackets are split by shuffling."""
