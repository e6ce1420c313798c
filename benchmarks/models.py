"""Models to measure with: random weights in the true layout, of the true size or of one that a CPU can train."""

import math
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from sd_scripts.library.example.sd_models import make_sd1, make_sdxl, original_tensors
from sd_scripts.library.io.streaming import write_one_by_one
from sd_scripts.library.io.tensor_file import Form
from sd_scripts.library.models import configs, sd, sdxl
from sd_scripts.library.report import Report
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.sdxl_train import SdxlTrainOptions
from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions
from sd_scripts.options.train_network import TrainNetworkOptions

Family = Literal["sd1", "sdxl"]
Size = Literal["tiny", "reduced", "true"]
Way = Literal["full", "lora"]

NAMES: dict[Family, str] = {"sd1": "SD1.5", "sdxl": "SDXL"}
LOADERS: dict[Family, Any] = {"sd1": sd.load, "sdxl": sdxl.load}
OPTIONS: dict[tuple[Family, Way], Any] = {
    ("sd1", "full"): FineTuneOptions,
    ("sd1", "lora"): TrainNetworkOptions,
    ("sdxl", "full"): SdxlTrainOptions,
    ("sdxl", "lora"): SdxlTrainNetworkOptions,
}
"""Of the scripts that train them."""

REDUCED_WIDTHS = {"sd1": [128, 256, 512, 512], "sdxl": [128, 256, 512]}
REDUCED_DEPTHS = [1, 1, 2]
"""Transformer layers of SDXL's blocks; the true one has 1, 2 and 10."""
REDUCED_VAE = [64, 128, 256, 256]
REDUCED_TEXT = {"text_encoder": 256, "text_encoder_2": 384}
REDUCED_TEXT_LAYERS = 4


def make_model(path: Path, family: Family, size: Size, dtype: torch.dtype = torch.float32, seed: int = 0) -> Path:
    """Writes a .safetensors checkpoint, tensor by tensor: a model of any size takes the memory of one of them."""
    if size == "tiny":
        return (make_sd1 if family == "sd1" else make_sdxl)(path, seed, dtype)
    with torch.device("meta"):
        shapes = original_tensors(family, _config(family, size))
    forms = {name: Form(_dtype(tensor, dtype), tuple(tensor.shape)) for name, tensor in shapes.items()}
    drawn = torch.Generator().manual_seed(seed)
    write_one_by_one(path, forms, lambda name: _made(name, forms[name], drawn), {}, Report())
    return path


def model_in(room: Path, family: Family, size: Size, dtype: torch.dtype = torch.float32) -> Path:
    """The checkpoint in a folder, made at the first call."""
    path = room / f"{family}-{size}.safetensors"
    return path if path.exists() else make_model(path, family, size, dtype)


def named(family: Family, size: Size) -> str:
    """A model's name; a size that is not the true one is told."""
    return NAMES[family] if size == "true" else f"{NAMES[family]} {size}"


def _config(family: Family, size: Size) -> dict[str, configs.Config]:
    parts = configs.base_config(family)
    if size == "true":
        return parts
    unet, texts = parts["unet"], [name for name in REDUCED_TEXT if name in parts]
    widths = REDUCED_WIDTHS[family]
    unet |= {"block_out_channels": widths, "cross_attention_dim": sum(REDUCED_TEXT[name] for name in texts)}
    if unet["use_linear_projection"]:
        unet["attention_head_dim"] = [configs.heads(width) for width in widths]
    if "addition_time_embed_dim" in unet:
        unet["transformer_layers_per_block"] = REDUCED_DEPTHS
        pooled = REDUCED_TEXT["text_encoder_2"]
        unet["projection_class_embeddings_input_dim"] = pooled + 6 * unet["addition_time_embed_dim"]
    parts["vae"]["block_out_channels"] = REDUCED_VAE
    for name in texts:
        parts[name] |= _text(REDUCED_TEXT[name])
    return parts


def _text(width: int) -> dict[str, Any]:
    return {
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_attention_heads": configs.heads(width),
        "num_hidden_layers": REDUCED_TEXT_LAYERS,
        "projection_dim": width,
    }


def _dtype(tensor: Tensor, asked: torch.dtype) -> torch.dtype:
    return asked if tensor.is_floating_point() else tensor.dtype


def _made(name: str, form: Form, drawn: torch.Generator) -> Tensor:
    """Weights whose layers neither swell nor fade what passes through; norms and biases as layers begin."""
    if not form.dtype.is_floating_point:
        return torch.arange(math.prod(form.shape), dtype=form.dtype).reshape(form.shape)
    if len(form.shape) < 2:
        value = 0.0 if name.endswith("bias") else 1.0
        return torch.full(form.shape, value, dtype=form.dtype)
    fan_in = math.prod(form.shape[1:])
    return torch.randn(form.shape, generator=drawn).mul_(fan_in**-0.5).to(form.dtype)
