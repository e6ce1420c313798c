"""Writing whole models: one file in the original layout, or a diffusers folder."""

from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from sd_scripts.library.io.atomic import replacing_folder, write_json
from sd_scripts.library.io.checkpoints import write_bin, write_ckpt, write_safetensors
from sd_scripts.library.models.clip_tokenizer import write_tokenizer
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.layout import UNET_PREFIX, VAE_PREFIX
from sd_scripts.library.models.layout.text import with_wrapper
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.layout.vae import vae_names, vae_to_original

if TYPE_CHECKING:
    from sd_scripts.library.models.sd import StableDiffusion

_INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "feature_extractor": [None, None],
    "image_encoder": [None, None],
    "requires_safety_checker": False,
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
    "vae": ["diffusers", "AutoencoderKL"],
}


def save(model: "StableDiffusion", request: SaveRequest) -> Path:
    """Writes the model as the request says; gives the file or folder. Errors: BadFile."""
    return _FORMATS[request.format](model, request)


def original_tensors(model: "StableDiffusion", dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Every tensor of a file in the original layout, on the CPU; `dtype` None: each in its own."""
    names = names_of(model.unet.config)
    tensors = {
        f"{UNET_PREFIX}{names.to_original(name)}": tensor for name, tensor in _tensors(model.unet, dtype).items()
    }
    tensors |= {model.variant.text_prefix + name: tensor for name, tensor in _original_text(model, dtype).items()}
    config = model.vae.config
    names = vae_names(len(config.block_out_channels), config.layers_per_block)
    vae = vae_to_original(_tensors(model.vae, model.vae_dtype), names)
    return tensors | {VAE_PREFIX + name: tensor for name, tensor in vae.items()}


def model_spec(model: "StableDiffusion", request: SaveRequest) -> dict[str, str]:
    """The header's metadata: the Stability model-spec 1.0 keys, then what the request says."""
    side_px = model.variant.resolution_px[model.prediction_type]
    return {
        "modelspec.sai_model_spec": "1.0.1",
        "modelspec.architecture": model.variant.architectures[model.prediction_type],
        "modelspec.implementation": "https://github.com/Stability-AI/generative-models",
        "modelspec.title": request.path.name,
        "modelspec.date": datetime.now().isoformat(timespec="seconds"),
        "modelspec.resolution": f"{side_px}x{side_px}",
        "modelspec.prediction_type": "v" if model.prediction_type == "v_prediction" else "epsilon",
        **request.metadata,
    }


def _original_text(model: "StableDiffusion", dtype: torch.dtype | None) -> dict[str, Tensor]:
    """The text encoder's tensors, with those that only the source file had, or that stand in for them."""
    prefix, layers = model.variant.text_prefix, model.text_encoder.config.num_hidden_layers
    text = model.variant.text_to_original(_tensors(model.text_encoder, dtype), layers)
    kept = {name.removeprefix(prefix): tensor for name, tensor in model.rest.items() if name.startswith(prefix)}
    missing = {name: tensor for name, tensor in model.variant.text_fill(text, layers).items() if name not in kept}
    like = next(iter(text.values())).dtype
    return text | missing | {name: t.to(like) if t.is_floating_point() else t for name, t in kept.items()}


def filled_names(model: "StableDiffusion") -> list[str]:
    """Original tensors that neither the modules nor the source file have, so that others stand in for them."""
    prefix, layers = model.variant.text_prefix, model.text_encoder.config.num_hidden_layers
    shapes_only = {name: tensor.to("meta") for name, tensor in model.text_encoder.state_dict().items()}
    filled = model.variant.text_fill(model.variant.text_to_original(shapes_only, layers), layers)
    return [prefix + name for name in filled if prefix + name not in model.rest]


def _tensors(module: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """A module's tensors on the CPU; of a dtype, or each of its own."""
    return {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None)
        for name, tensor in module.state_dict().items()
    }


def _save_file(model: "StableDiffusion", request: SaveRequest) -> Path:
    ending = f".{request.format}"
    # Not with_suffix: a name such as v1.5 has no suffix to replace.
    path = request.path.with_name(request.path.name + ending)
    text_prefix = model.variant.text_prefix
    rest = {name: tensor for name, tensor in model.rest.items() if not name.startswith(text_prefix)}
    tensors = rest | original_tensors(model, request.dtype)
    if request.format == "safetensors":
        write_safetensors(path, tensors, model_spec(model, request))
    else:
        write_ckpt(path, tensors)
    return path


def _save_folder(model: "StableDiffusion", request: SaveRequest) -> Path:
    from diffusers import __version__

    safe = request.format == "diffusers_safetensors"
    dtype = request.dtype
    text = with_wrapper(_tensors(model.text_encoder, dtype))
    with replacing_folder(request.path) as folder:
        for name in ("unet", "text_encoder", "vae", "tokenizer", "scheduler"):
            (folder / name).mkdir()
        model.unet.save_config(folder / "unet")
        model.vae.save_config(folder / "vae")
        model.text_encoder.config.save_pretrained(folder / "text_encoder")
        _write_weights(folder / "unet" / "diffusion_pytorch_model", _tensors(model.unet, dtype), safe)
        _write_weights(folder / "vae" / "diffusion_pytorch_model", _tensors(model.vae, model.vae_dtype), safe)
        _write_weights(folder / "text_encoder" / ("model" if safe else "pytorch_model"), text, safe)
        write_tokenizer(model.tokenizer, folder / "tokenizer")
        model.sampling_scheduler("ddim").save_config(folder / "scheduler")
        write_json(folder / "model_index.json", {**_INDEX, "_diffusers_version": __version__})
    return request.path


def _write_weights(stem: Path, tensors: Mapping[str, Tensor], safe: bool) -> None:
    write: Any = write_safetensors if safe else write_bin
    write(stem.with_name(stem.name + (".safetensors" if safe else ".bin")), tensors)


_FORMATS: dict[str, Callable[["StableDiffusion", SaveRequest], Path]] = {
    "ckpt": _save_file,
    "safetensors": _save_file,
    "diffusers": _save_folder,
    "diffusers_safetensors": _save_folder,
}
