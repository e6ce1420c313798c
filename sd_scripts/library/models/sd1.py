"""Stable Diffusion 1: its text encoder is CLIP, with transformers' own names below text_model."""

from collections.abc import Mapping

from torch import Tensor

from sd_scripts.library.models.configs import Config, Shapes, clip_config
from sd_scripts.library.models.layout import TEXT_PREFIX
from sd_scripts.library.models.layout.text import with_wrapper, without_wrapper
from sd_scripts.library.models.variant import TextVariant, Variant


def _config(shapes: Shapes, known: Config) -> Config:
    return clip_config({name.removeprefix("text_model."): shape for name, shape in shapes.items()}, known)


def _to_clip(tensors: Mapping[str, Tensor], _layers: int) -> dict[str, Tensor]:
    return without_wrapper(tensors)


def _to_original(tensors: Mapping[str, Tensor], _layers: int) -> dict[str, Tensor]:
    return with_wrapper(tensors)


def _fill(_tensors: Mapping[str, Tensor], _layers: int) -> dict[str, Tensor]:
    return {}


CLIP = TextVariant(
    folder="text_encoder",
    tokenizer="tokenizer",
    kind="CLIPTextModel",
    prefix=TEXT_PREFIX["sd1"],
    pad_token="<|endoftext|>",
    read_config=_config,
    to_clip=_to_clip,
    to_original=_to_original,
    fill=_fill,
    from_folder=without_wrapper,
    to_folder=with_wrapper,
)

SD1 = Variant(
    name="sd1",
    config="sd1",
    config_v=None,
    texts=(CLIP,),
    takes_clip_skip=True,
    architectures={"epsilon": "stable-diffusion-v1", "v_prediction": "stable-diffusion-v1"},
    resolution_px={"epsilon": 512, "v_prediction": 512},
    pipeline="StableDiffusionPipeline",
    sampler="ddim",
)
