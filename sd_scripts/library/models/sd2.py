"""Stable Diffusion 2, base (512 px) and velocity (768 px): its text encoder is OpenCLIP's, less the last block."""

import math
from collections.abc import Mapping

import torch
from torch import Tensor

from sd_scripts.library.models.configs import open_clip_config
from sd_scripts.library.models.layout import TEXT_PREFIX
from sd_scripts.library.models.layout.text import clip_to_open_clip, open_clip_to_clip, with_wrapper, without_wrapper
from sd_scripts.library.models.variant import TextVariant, Variant


def _fill(tensors: Mapping[str, Tensor], layers: int) -> dict[str, Tensor]:
    """The last block as a copy of the one before it, and CLIP's head: Stable Diffusion uses none of them."""
    like = tensors["ln_final.weight"]
    last = f"transformer.resblocks.{layers - 1}."
    block = {name: tensor for name, tensor in tensors.items() if name.startswith(last)}
    return {
        **{name.replace(last, f"transformer.resblocks.{layers}."): tensor.clone() for name, tensor in block.items()},
        "text_projection": torch.eye(len(like), dtype=like.dtype),
        "logit_scale": torch.tensor(math.log(100), dtype=like.dtype),
    }


OPEN_CLIP = TextVariant(
    folder="text_encoder",
    tokenizer="tokenizer",
    kind="CLIPTextModel",
    prefix=TEXT_PREFIX["sd2"],
    pad_token="!",
    read_config=open_clip_config,
    to_clip=open_clip_to_clip,
    to_original=clip_to_open_clip,
    fill=_fill,
    from_folder=without_wrapper,
    to_folder=with_wrapper,
)

SD2 = Variant(
    name="sd2",
    config="sd2",
    config_v="sd2_v",
    texts=(OPEN_CLIP,),
    takes_clip_skip=False,
    architectures={"epsilon": "stable-diffusion-v2-512", "v_prediction": "stable-diffusion-v2-768-v"},
    resolution_px={"epsilon": 512, "v_prediction": 768},
    pipeline="StableDiffusionPipeline",
    sampler="ddim",
)
