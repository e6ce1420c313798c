"""Tiny Stable Diffusion models with random weights, in the true layouts: every name and block that a real one has."""

import tempfile
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.io.checkpoints import write_ckpt, write_safetensors
from sd_scripts.library.models import configs
from sd_scripts.library.models.layout import TEXT_PREFIX, UNET_PREFIX, VAE_PREFIX
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.layout.vae import vae_names, vae_to_original
from sd_scripts.library.models.sources import VARIANTS

UNET_WIDTHS = {"sd1": [32, 32, 64, 64], "sd2": [32, 32, 64, 64], "sdxl": [32, 32, 64]}
VAE_WIDTHS = [32, 32, 32, 64]
# Of the first text encoder, and of SDXL's second.
TEXT_WIDTHS = [16, 24]
TEXT_LAYERS = 3
# Each of the six numbers that SDXL is told of sizes becomes as many.
SIZE_WIDTH = 8


def make_sd1(path: str | Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Writes a Stable Diffusion 1 checkpoint of 17 MB, half that in float16: .ckpt by its ending, or .safetensors."""
    return _write(Path(path), _tensors("sd1", _tiny(configs.base_config("sd1"), "sd1"), seed), dtype)


def make_sd2(path: str | Path, v_prediction: bool = False, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Writes a Stable Diffusion 2 checkpoint: base, or the one that predicts velocity. As in the real ones, nothing in
    the file tells which of the two it is."""
    parts = configs.base_config("sd2")
    return _write(Path(path), _tensors("sd2", _tiny(parts, "sd2"), seed + 1000 * v_prediction), dtype)


def make_sdxl(path: str | Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Writes an SDXL checkpoint of 15 MB."""
    return _write(Path(path), _tensors("sdxl", _tiny(configs.base_config("sdxl"), "sdxl"), seed), dtype)


def make_diffusers(folder: str | Path, v2: bool = False, v_prediction: bool = False, seed: int = 0) -> Path:
    """Writes the same model of SD1 or SD2 as a diffusers folder, whose scheduler tells what it predicts."""
    from sd_scripts.library.models.family import SaveRequest
    from sd_scripts.library.models.sd import load

    with tempfile.TemporaryDirectory() as beside:
        file = Path(beside) / "tiny.safetensors"
        made = make_sd2(file, v_prediction, seed) if v2 else make_sd1(file, seed)
        model = load(str(made), v2=v2, v_parameterization=v_prediction)
        return model.save(SaveRequest(Path(folder), "diffusers_safetensors"))


def _tiny(parts: dict[str, configs.Config], family: str) -> dict[str, configs.Config]:
    texts, widths = VARIANTS[family].texts, UNET_WIDTHS[family]
    context = sum(TEXT_WIDTHS[: len(texts)])
    unet = parts["unet"]
    unet |= {"block_out_channels": widths, "cross_attention_dim": context, "layers_per_block": 2}
    if unet["use_linear_projection"]:
        unet["attention_head_dim"] = [configs.heads(width) for width in widths]
    if "addition_time_embed_dim" in unet:
        unet |= {"transformer_layers_per_block": [1, 1, 2], "addition_time_embed_dim": SIZE_WIDTH}
        unet["projection_class_embeddings_input_dim"] = TEXT_WIDTHS[1] + 6 * SIZE_WIDTH
    parts["vae"] |= {"block_out_channels": VAE_WIDTHS}
    for text, width in zip(texts, TEXT_WIDTHS, strict=False):
        parts[text.folder] |= {
            "hidden_size": width,
            "intermediate_size": 2 * width,
            "num_attention_heads": configs.heads(width),
            "num_hidden_layers": TEXT_LAYERS,
            "projection_dim": width,
        }
    return parts


def _tensors(family: str, parts: dict[str, configs.Config], seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return original_tensors(family, parts)


def original_tensors(family: str, parts: dict[str, configs.Config]) -> dict[str, Tensor]:
    """Every tensor of the original layout, as the modules begin; on the device that is set, "meta" for shapes only.

    SD2's text encoder has a block more than is used, as the real files have.
    """
    import transformers
    from diffusers import AutoencoderKL, UNet2DConditionModel

    unet = UNet2DConditionModel.from_config(parts["unet"]).state_dict()
    vae = AutoencoderKL.from_config(parts["vae"]).state_dict()
    names = names_of(parts["unet"])
    tensors = {f"{UNET_PREFIX}{names.to_original(name)}": tensor for name, tensor in unet.items()}
    levels = len(parts["vae"]["block_out_channels"])
    original = vae_to_original(vae, vae_names(levels, parts["vae"]["layers_per_block"]))
    tensors |= {VAE_PREFIX + name: tensor for name, tensor in original.items()}
    for text in VARIANTS[family].texts:
        config = parts[text.folder]
        found = getattr(transformers, text.kind)(transformers.CLIPTextConfig(**config)).state_dict()
        original = text.to_original(found, config["num_hidden_layers"])
        tensors |= {text.prefix + name: tensor for name, tensor in original.items()}
    return tensors | _more(family, parts)


def _more(family: str, parts: dict[str, configs.Config]) -> dict[str, Tensor]:
    """What real files have besides, which the modules lack."""
    positions, scale = "text_model.embeddings.position_ids", torch.tensor(4.6052)
    if family == "sd1":
        return {TEXT_PREFIX["sd1"] + positions: torch.arange(77)[None]}
    if family == "sd2":
        width = parts["text_encoder"]["hidden_size"]
        return {
            TEXT_PREFIX["sd2"] + "logit_scale": scale,
            TEXT_PREFIX["sd2"] + "text_projection": torch.eye(width),
        }
    return {TEXT_PREFIX["sdxl1"] + positions: torch.arange(77)[None], TEXT_PREFIX["sdxl2"] + "logit_scale": scale}


def _write(path: Path, tensors: dict[str, Tensor], dtype: torch.dtype) -> Path:
    write: Any = write_ckpt if path.suffix == ".ckpt" else write_safetensors
    write(path, {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()})
    return path
