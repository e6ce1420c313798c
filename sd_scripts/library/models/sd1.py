"""Stable Diffusion 1: its text encoder is CLIP, with transformers' own names below text_model."""

from collections.abc import Mapping

from torch import Tensor

from sd_scripts.library.models.configs import Config, Shapes, clip_config
from sd_scripts.library.models.layout import TEXT_PREFIX
from sd_scripts.library.models.layout.text import with_wrapper, without_wrapper
from sd_scripts.library.models.variant import Variant


def _config(shapes: Shapes, known: Config) -> Config:
    return clip_config({name.removeprefix("text_model."): shape for name, shape in shapes.items()}, known)


def _to_clip(tensors: Mapping[str, Tensor], _layers: int) -> dict[str, Tensor]:
    return without_wrapper(tensors)


def _to_original(tensors: Mapping[str, Tensor], _layers: int) -> dict[str, Tensor]:
    return with_wrapper(tensors)


def _fill(_tensors: Mapping[str, Tensor], _layers: int) -> dict[str, Tensor]:
    return {}


SD1 = Variant(
    name="sd1",
    config="sd1",
    config_v=None,
    text_prefix=TEXT_PREFIX["sd1"],
    pad_token="<|endoftext|>",
    takes_clip_skip=True,
    architectures={"epsilon": "stable-diffusion-v1", "v_prediction": "stable-diffusion-v1"},
    resolution_px={"epsilon": 512, "v_prediction": 512},
    text_config=_config,
    text_to_clip=_to_clip,
    text_to_original=_to_original,
    text_fill=_fill,
)
