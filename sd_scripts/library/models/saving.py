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
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.layout.vae import vae_names, vae_to_original
from sd_scripts.library.models.variant import TextVariant

if TYPE_CHECKING:
    from sd_scripts.library.models.latent_diffusion import LatentDiffusion


def save(model: "LatentDiffusion", request: SaveRequest) -> Path:
    """Writes the model as the request says; gives the file or folder. Errors: BadFile."""
    return _FORMATS[request.format](model, request)


def original_tensors(model: "LatentDiffusion", dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Every tensor of a file in the original layout, on the CPU; `dtype` None: each in its own."""
    names = names_of(model.unet.config)
    tensors = {
        f"{UNET_PREFIX}{names.to_original(name)}": tensor for name, tensor in _tensors(model.unet, dtype).items()
    }
    for text, module in _texts(model):
        tensors |= {text.prefix + name: tensor for name, tensor in _original_text(model, text, module, dtype).items()}
    config = model.vae.config
    names = vae_names(len(config.block_out_channels), config.layers_per_block)
    vae = vae_to_original(_tensors(model.vae, model.vae_dtype), names)
    return tensors | {VAE_PREFIX + name: tensor for name, tensor in vae.items()}


def model_spec(model: "LatentDiffusion", request: SaveRequest) -> dict[str, str]:
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


def filled_names(model: "LatentDiffusion") -> list[str]:
    """Original tensors that neither the modules nor the source file have, so that others stand in for them."""
    names: list[str] = []
    for text, module in _texts(model):
        layers = module.config.num_hidden_layers
        shapes_only = {name: tensor.to("meta") for name, tensor in module.state_dict().items()}
        filled = text.fill(text.to_original(shapes_only, layers), layers)
        names += [text.prefix + name for name in filled if text.prefix + name not in model.rest]
    return names


def _texts(model: "LatentDiffusion") -> list[tuple[TextVariant, Any]]:
    return list(zip(model.variant.texts, model.text_encoders.values(), strict=True))


def _original_text(
    model: "LatentDiffusion", text: TextVariant, module: Any, dtype: torch.dtype | None
) -> dict[str, Tensor]:
    """A text encoder's tensors, with those that only the source file had, or that stand in for them."""
    layers = module.config.num_hidden_layers
    own = text.to_original(_tensors(module, dtype), layers)
    prefix = text.prefix
    kept = {name.removeprefix(prefix): tensor for name, tensor in model.rest.items() if name.startswith(prefix)}
    missing = {name: tensor for name, tensor in text.fill(own, layers).items() if name not in kept}
    like = next(iter(own.values())).dtype
    return own | missing | {name: t.to(like) if t.is_floating_point() else t for name, t in kept.items()}


def _tensors(module: nn.Module, dtype: torch.dtype | None) -> dict[str, Tensor]:
    """A module's tensors on the CPU; of a dtype, or each of its own."""
    return {
        name: tensor.detach().to("cpu", dtype if tensor.is_floating_point() else None)
        for name, tensor in module.state_dict().items()
    }


def _save_file(model: "LatentDiffusion", request: SaveRequest) -> Path:
    ending = f".{request.format}"
    # Not with_suffix: a name such as v1.5 has no suffix to replace.
    path = request.path.with_name(request.path.name + ending)
    prefixes = tuple(text.prefix for text in model.variant.texts)
    rest = {name: tensor for name, tensor in model.rest.items() if not name.startswith(prefixes)}
    tensors = rest | original_tensors(model, request.dtype)
    if request.format == "safetensors":
        write_safetensors(path, tensors, model_spec(model, request))
    else:
        write_ckpt(path, tensors, request.facts)
    return path


def _save_folder(model: "LatentDiffusion", request: SaveRequest) -> Path:
    safe = request.format == "diffusers_safetensors"
    dtype = request.dtype
    with replacing_folder(request.path) as folder:
        for name in ("unet", "vae", "scheduler"):
            (folder / name).mkdir()
        model.unet.save_config(folder / "unet")
        model.vae.save_config(folder / "vae")
        _write_weights(folder / "unet" / "diffusion_pytorch_model", _tensors(model.unet, dtype), safe)
        _write_weights(folder / "vae" / "diffusion_pytorch_model", _tensors(model.vae, model.vae_dtype), safe)
        for (text, module), tokenizer in zip(_texts(model), model.tokenizers, strict=True):
            _save_text(folder, text, module, tokenizer, request)
        scheduler = model.sampling_scheduler(model.variant.sampler)
        scheduler.save_config(folder / "scheduler")
        write_json(folder / "model_index.json", _index(model, type(scheduler).__name__))
    return request.path


def _save_text(folder: Path, text: TextVariant, module: Any, tokenizer: Any, request: SaveRequest) -> None:
    (folder / text.folder).mkdir()
    (folder / text.tokenizer).mkdir()
    module.config.save_pretrained(folder / text.folder)
    safe = request.format == "diffusers_safetensors"
    tensors = text.to_folder(_tensors(module, request.dtype))
    _write_weights(folder / text.folder / ("model" if safe else "pytorch_model"), tensors, safe)
    write_tokenizer(tokenizer, folder / text.tokenizer)


def _index(model: "LatentDiffusion", scheduler: str) -> dict[str, Any]:
    """What a diffusers folder says of its parts."""
    from diffusers import __version__

    texts = {text.folder: ["transformers", text.kind] for text in model.variant.texts}
    tokenizers = {text.tokenizer: ["transformers", "CLIPTokenizer"] for text in model.variant.texts}
    # The checker of pictures belongs to the pipeline with one text encoder.
    checker = {"requires_safety_checker": False, "safety_checker": [None, None]} if len(texts) == 1 else {}
    return {
        "_class_name": model.variant.pipeline,
        "_diffusers_version": __version__,
        "feature_extractor": [None, None],
        "image_encoder": [None, None],
        **checker,
        "scheduler": ["diffusers", scheduler],
        **texts,
        **tokenizers,
        "unet": ["diffusers", "UNet2DConditionModel"],
        "vae": ["diffusers", "AutoencoderKL"],
    }


def _write_weights(stem: Path, tensors: Mapping[str, Tensor], safe: bool) -> None:
    write: Any = write_safetensors if safe else write_bin
    write(stem.with_name(stem.name + (".safetensors" if safe else ".bin")), tensors)


_FORMATS: dict[str, Callable[["LatentDiffusion", SaveRequest], Path]] = {
    "ckpt": _save_file,
    "safetensors": _save_file,
    "diffusers": _save_folder,
    "diffusers_safetensors": _save_folder,
}
