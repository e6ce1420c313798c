"""Stable Diffusion XL: SD1's text encoder and a larger one of OpenCLIP, whose pooled output is used as well."""

import math
from collections.abc import Mapping
from dataclasses import replace

import torch
from torch import Tensor

from sd_scripts.library.models.configs import Config, Shapes, open_clip_config
from sd_scripts.library.models.layout import TEXT_PREFIX
from sd_scripts.library.models.layout.text import clip_to_open_clip, open_clip_to_clip, with_wrapper, without_wrapper
from sd_scripts.library.models.sd1 import CLIP
from sd_scripts.library.models.variant import TextVariant, Variant

_PROJECTION = "text_projection"


def _config(shapes: Shapes, known: Config) -> Config:
    config = open_clip_config(shapes, known)
    # Its last block serves the pooled output.
    return config | {
        "num_hidden_layers": config["num_hidden_layers"] + 1,
        "projection_dim": shapes[_PROJECTION][1],
    }


def _to_clip(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """OpenCLIP multiplies by its projection from the other side."""
    clip = with_wrapper(open_clip_to_clip(tensors, layers))
    found = tensors.get(_PROJECTION)
    return clip if found is None else clip | {f"{_PROJECTION}.weight": found.T.contiguous()}


def _to_original(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    text = without_wrapper(tensors)
    projection = text.pop(f"{_PROJECTION}.weight")
    return clip_to_open_clip(text, layers) | {_PROJECTION: projection.T.contiguous()}


def _fill(tensors: Mapping[str, Tensor], _layers: int) -> dict[str, Tensor]:
    return {"logit_scale": torch.tensor(math.log(100), dtype=tensors[_PROJECTION].dtype)}


def _as_it_is(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in tensors.items() if not name.endswith("position_ids")}


OPEN_CLIP_G = TextVariant(
    folder="text_encoder_2",
    tokenizer="tokenizer_2",
    kind="CLIPTextModelWithProjection",
    prefix=TEXT_PREFIX["sdxl2"],
    pad_token="!",
    read_config=_config,
    to_clip=_to_clip,
    to_original=_to_original,
    fill=_fill,
    from_folder=_as_it_is,
    to_folder=_as_it_is,
)

SDXL = Variant(
    name="sdxl",
    config="sdxl",
    config_v=None,
    texts=(replace(CLIP, prefix=TEXT_PREFIX["sdxl1"]), OPEN_CLIP_G),
    takes_clip_skip=False,
    architectures=dict.fromkeys(("epsilon", "v_prediction"), "stable-diffusion-xl-v1-base"),
    resolution_px={"epsilon": 1024, "v_prediction": 1024},
    pipeline="StableDiffusionXLPipeline",
    sampler="euler",
)
