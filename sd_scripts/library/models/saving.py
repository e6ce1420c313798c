"""Writing whole models: one file in the original layout, or a diffusers folder."""

from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from sd_scripts.library.io.atomic import replacing_folder, write_json
from sd_scripts.library.io.checkpoints import write_bin, write_ckpt, write_safetensors
from sd_scripts.library.io.drafts import Draft, Held, Saved
from sd_scripts.library.models.clip_tokenizer import write_tokenizer
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.layout import UNET_PREFIX, VAE_PREFIX
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.layout.vae import vae_names, vae_to_original
from sd_scripts.library.models.variant import TextVariant

if TYPE_CHECKING:
    from sd_scripts.library.models.latent_diffusion import LatentDiffusion


def draft(model: "LatentDiffusion", request: SaveRequest) -> Draft:
    """The model as the request says, to be written."""
    return _FORMATS[request.format](model, request)


def original_tensors(model: "LatentDiffusion", dtype: torch.dtype | None) -> dict[str, Tensor]:
    """Every tensor of a file in the original layout, on the CPU; `dtype` None: each in its own."""
    return _original(model, dtype).converted()


def _original(model: "LatentDiffusion", dtype: torch.dtype | None) -> Held:
    names = names_of(model.unet.config)
    unet = {f"{UNET_PREFIX}{names.to_original(name)}": t for name, t in model.unet.state_dict().items()}
    held = _in(dtype, unet)
    for text, module in _texts(model):
        held |= _original_text(model, text, module, dtype)
    config = model.vae.config
    vae = vae_to_original(model.vae.state_dict(), vae_names(len(config.block_out_channels), config.layers_per_block))
    return held | _in(model.vae_dtype, {VAE_PREFIX + name: tensor for name, tensor in vae.items()})


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


def _original_text(model: "LatentDiffusion", text: TextVariant, module: Any, dtype: torch.dtype | None) -> Held:
    """A text encoder's tensors, with those that only the source file had, or that stand in for them."""
    layers, prefix = module.config.num_hidden_layers, text.prefix
    # On the CPU: what other layouts hold in one tensor is put together there, and not where training needs the room.
    own = text.to_original(Held(module.state_dict()).converted(), layers)
    missing = {name: tensor for name, tensor in text.fill(own, layers).items() if prefix + name not in model.rest}
    kept = {name: tensor for name, tensor in model.rest.items() if name.startswith(prefix)}
    made = {prefix + name: tensor for name, tensor in (own | missing).items()}
    return _in(dtype, made) | _in(dtype or next(iter(own.values())).dtype, kept)


def _in(dtype: torch.dtype | None, tensors: dict[str, Tensor]) -> Held:
    """Tensors to be written in a number format, or each in its own."""
    if dtype is None:
        return Held(tensors)
    return Held(tensors, {name: dtype for name, tensor in tensors.items() if tensor.is_floating_point()})


def _file(model: "LatentDiffusion", request: SaveRequest) -> Draft:
    prefixes = tuple(text.prefix for text in model.variant.texts)
    rest = {name: tensor for name, tensor in model.rest.items() if not name.startswith(prefixes)}
    held = Held(rest) | _original(model, request.dtype)
    spec = model_spec(model, request)

    def write(path: Path) -> Saved:
        # Not with_suffix: a name such as v1.5 has no suffix to replace.
        path = path.with_name(f"{path.name}.{request.format}")
        if request.format == "safetensors":
            return Saved(path, write_safetensors(path, held.tensors, spec, held.dtypes))
        return Saved(path, write_ckpt(path, held.converted(), request.facts))

    return Draft([held], write)


def _folder(model: "LatentDiffusion", request: SaveRequest) -> Draft:
    safe, texts = request.format == "diffusers_safetensors", _texts(model)
    weights = {
        "unet/diffusion_pytorch_model": _in(request.dtype, model.unet.state_dict()),
        "vae/diffusion_pytorch_model": _in(model.vae_dtype, model.vae.state_dict()),
    }
    for text, module in texts:
        name = f"{text.folder}/{'model' if safe else 'pytorch_model'}"
        weights[name] = _in(request.dtype, text.to_folder(module.state_dict()))

    def write(path: Path) -> Saved:
        with replacing_folder(path) as folder:
            _write_configs(folder, model)
            for name, held in weights.items():
                _write_weights(folder / name, held, safe)
        return Saved(path)

    return Draft(list(weights.values()), write)


def _write_configs(folder: Path, model: "LatentDiffusion") -> None:
    """All of a folder but the weights."""
    for name in ("unet", "vae", "scheduler"):
        (folder / name).mkdir()
    model.unet.save_config(folder / "unet")
    model.vae.save_config(folder / "vae")
    for (text, module), tokenizer in zip(_texts(model), model.tokenizers, strict=True):
        (folder / text.folder).mkdir()
        (folder / text.tokenizer).mkdir()
        module.config.save_pretrained(folder / text.folder)
        write_tokenizer(tokenizer, folder / text.tokenizer)
    scheduler = model.sampling_scheduler(model.variant.sampler)
    scheduler.save_config(folder / "scheduler")
    write_json(folder / "model_index.json", _index(model, type(scheduler).__name__))


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


def _write_weights(stem: Path, held: Held, safe: bool) -> None:
    if safe:
        write_safetensors(stem.with_name(stem.name + ".safetensors"), held.tensors, dtypes=held.dtypes)
    else:
        write_bin(stem.with_name(stem.name + ".bin"), held.converted())


_FORMATS: dict[str, Callable[["LatentDiffusion", SaveRequest], Draft]] = {
    "ckpt": _file,
    "safetensors": _file,
    "diffusers": _folder,
    "diffusers_safetensors": _folder,
}
