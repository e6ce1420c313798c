"""Tiny Stable Diffusion models with random weights, in the true layouts: every name and block that a real one has."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sd_scripts.library.io.checkpoints import write_ckpt, write_safetensors
from sd_scripts.library.models import configs
from sd_scripts.library.models.layout import TEXT_PREFIX, UNET_PREFIX, VAE_PREFIX
from sd_scripts.library.models.layout.text import clip_to_open_clip, with_wrapper
from sd_scripts.library.models.layout.unet import unet_names
from sd_scripts.library.models.layout.vae import vae_names, vae_to_original

if TYPE_CHECKING:
    from collections.abc import Iterator

UNET_WIDTHS = [32, 32, 64, 64]
VAE_WIDTHS = [32, 32, 32, 64]
TEXT_WIDTH = 16
TEXT_LAYERS = 3


def make_sd1(path: str | Path, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Writes a Stable Diffusion 1 checkpoint of 17 MB, half that in float16: .ckpt by its ending, or .safetensors."""
    return _write(Path(path), _tensors("sd1", _tiny(configs.base_config("sd1")), seed), dtype)


def make_sd2(path: str | Path, v_prediction: bool = False, seed: int = 0, dtype: torch.dtype = torch.float32) -> Path:
    """Writes a Stable Diffusion 2 checkpoint: base, or the one that predicts velocity. As in the real ones, nothing in
    the file tells which of the two it is."""
    parts = configs.base_config("sd2")
    return _write(Path(path), _tensors("sd2", _tiny(parts), seed + 1000 * v_prediction), dtype)


def make_diffusers(folder: str | Path, v2: bool = False, v_prediction: bool = False, seed: int = 0) -> Path:
    """Writes the same model as a diffusers folder, whose scheduler tells what it predicts."""
    from sd_scripts.library.models.family import SaveRequest
    from sd_scripts.library.models.sd import load

    with tempfile.TemporaryDirectory() as beside:
        file = Path(beside) / "tiny.safetensors"
        made = make_sd2(file, v_prediction, seed) if v2 else make_sd1(file, seed)
        model = load(str(made), v2=v2, v_parameterization=v_prediction)
        return model.save(SaveRequest(Path(folder), "diffusers_safetensors"))


def _tiny(parts: dict[str, configs.Config]) -> dict[str, configs.Config]:
    linear = parts["unet"]["use_linear_projection"]
    parts["unet"] |= {"block_out_channels": UNET_WIDTHS, "cross_attention_dim": TEXT_WIDTH, "layers_per_block": 2}
    if linear:
        parts["unet"]["attention_head_dim"] = [configs.heads(width) for width in UNET_WIDTHS]
    parts["vae"] |= {"block_out_channels": VAE_WIDTHS}
    parts["text_encoder"] |= {
        "hidden_size": TEXT_WIDTH,
        "intermediate_size": 2 * TEXT_WIDTH,
        "num_attention_heads": configs.heads(TEXT_WIDTH),
        "num_hidden_layers": TEXT_LAYERS,
    }
    return parts


def _tensors(family: str, parts: dict[str, configs.Config], seed: int) -> dict[str, Tensor]:
    """Every tensor of the original layout; a block more of SD2's text encoder than is used, as the real files have."""
    from diffusers import AutoencoderKL, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel

    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        unet = UNet2DConditionModel.from_config(parts["unet"]).state_dict()
        vae = AutoencoderKL.from_config(parts["vae"]).state_dict()
        text = CLIPTextModel(CLIPTextConfig(**parts["text_encoder"])).state_dict()
    names = unet_names([kind.startswith("CrossAttn") for kind in parts["unet"]["down_block_types"]], 2)
    tensors = {f"{UNET_PREFIX}{names.to_original(name)}": tensor for name, tensor in unet.items()}
    original = vae_to_original(vae, vae_names(len(VAE_WIDTHS), parts["vae"]["layers_per_block"]))
    tensors |= {VAE_PREFIX + name: tensor for name, tensor in original.items()}
    return tensors | {TEXT_PREFIX[family] + name: tensor for name, tensor in _text(family, text)}


def _text(family: str, text: dict[str, Tensor]) -> "Iterator[tuple[str, Tensor]]":
    if family == "sd1":
        yield from with_wrapper(text).items()
        yield "text_model.embeddings.position_ids", torch.arange(77)[None]
    else:
        yield from clip_to_open_clip(text, TEXT_LAYERS).items()
        yield "logit_scale", torch.tensor(4.6052)
        yield "text_projection", torch.eye(TEXT_WIDTH)


def _write(path: Path, tensors: dict[str, Tensor], dtype: torch.dtype) -> Path:
    write: Any = write_ckpt if path.suffix == ".ckpt" else write_safetensors
    write(path, {name: tensor.to(dtype) if tensor.is_floating_point() else tensor for name, tensor in tensors.items()})
    return path
