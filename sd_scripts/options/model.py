"""Options that say which model is trained, and how its texts are read."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.spec import PathTo, Range


@dataclass(kw_only=True)
class BaseModelOptions:
    """The model that training starts from, of whatever family."""

    pretrained_model_name_or_path: Annotated[str | None, PathTo("model")] = None
    """Base model: a .safetensors or .ckpt file, a diffusers folder or a hub id."""

    v_parameterization: bool = False
    """The base model predicts velocity (Stable Diffusion 2 for 768 px, and some made from Stable Diffusion 1)."""

    vae: Annotated[str | None, PathTo("vae")] = None
    """Another VAE to use instead of the base model's own: a file, a diffusers folder or a hub id."""

    no_half_vae: bool = False
    """Run the VAE in float32 even under mixed precision."""


@dataclass(kw_only=True)
class ModelOptions(BaseModelOptions):
    """The model that training starts from: Stable Diffusion 1 or 2."""

    v2: bool = False
    """The base model is Stable Diffusion 2."""


@dataclass(kw_only=True)
class SdxlModelOptions(BaseModelOptions):
    """The model that training starts from: SDXL."""

    disable_mmap_load_safetensors: bool = False
    """Read .safetensors files as a whole instead of mapping them into memory: quicker from slow or remote drives."""


@dataclass(kw_only=True)
class BaseTextOptions:
    """How captions are read, whatever the text encoders."""

    max_token_length: Literal[75, 150, 225] | None = None
    """Longest caption in tokens. Empty: 75."""

    weighted_captions: bool = False
    """Weights in captions: (more), (more:1.3), [less]; \\( is a bracket. Commas in brackets are split by shuffling."""

    @property
    def layer(self) -> int | None:
        """Which text layer is asked for, counted from the end; None: the family's own."""
        return None

    @property
    def padded(self) -> bool:
        """Whether all captions are filled up to the same length."""
        return True


@dataclass(kw_only=True)
class TextEncodingOptions(BaseTextOptions):
    """How captions are read by the text encoder."""

    clip_skip: Annotated[int | None, Range(low=1)] = None
    """Which text layer is read, counted from the end: 1 the last, 2 the last but one. Not for Stable Diffusion 2."""

    @property
    def layer(self) -> int | None:
        """Which text layer is asked for."""
        return self.clip_skip


@dataclass(kw_only=True)
class TextCacheOptions:
    """What frozen text encoders make of captions, made once for all."""

    cache_text_encoder_outputs: bool = False
    """Encode all captions before training, then free the GPU of the text encoders. For captions that stay the same."""

    cache_text_encoder_outputs_to_disk: bool = False
    """Encode all captions before training, into files beside the pictures that later trainings use too."""

    @property
    def asked(self) -> bool:
        """Whether captions are encoded before training."""
        return self.cache_text_encoder_outputs or self.cache_text_encoder_outputs_to_disk
