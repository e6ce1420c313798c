"""What the formula asks of a model: from the header of its file, or from the configurations of its folder."""

import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile
from sd_scripts.library.footprint.text import text_shape
from sd_scripts.library.footprint.training import Model
from sd_scripts.library.footprint.unet import unet_shape
from sd_scripts.library.io.headers import TensorFact, kind_of, pickled_header, safetensors_header
from sd_scripts.library.io.reading import parse_json, read_text
from sd_scripts.library.models import configs
from sd_scripts.library.models.layout import TEXT_PREFIX, UNET_PREFIX, VAE_PREFIX

Shapes = configs.Shapes
_WRAPPER = "text_model."


def _clip(shapes: Shapes, known: configs.Config) -> configs.Config:
    return configs.clip_config({name.removeprefix(_WRAPPER): shape for name, shape in shapes.items()}, known)


def _whole_open_clip(shapes: Shapes, known: configs.Config) -> configs.Config:
    """SDXL uses OpenCLIP's last block, too."""
    config = configs.open_clip_config(shapes, known)
    return config | {"num_hidden_layers": config["num_hidden_layers"] + 1}


_TEXTS: dict[str, dict[str, tuple[str, Callable[[Shapes, configs.Config], configs.Config]]]] = {
    "sd1": {"text_encoder": (TEXT_PREFIX["sd1"], _clip)},
    "sd2": {"text_encoder": (TEXT_PREFIX["sd2"], configs.open_clip_config)},
    "sdxl": {
        "text_encoder": (TEXT_PREFIX["sdxl1"], _clip),
        "text_encoder_2": (TEXT_PREFIX["sdxl2"], _whole_open_clip),
    },
}
"""{family: {folder of a text encoder: (how its tensors begin in one file, its configuration of their shapes)}}."""


def model_of(path: Path) -> Model | None:
    """The model in a file or diffusers folder; None where it is no whole model. Errors: BadFile."""
    if path.is_dir():
        return _of_folder(path)
    pickled = path.suffix.lower() != ".safetensors"
    tensors = pickled_header(path) if pickled else safetensors_header(path)[0]
    shapes = {name: fact.shape for name, fact in tensors.items()}
    family = kind_of(shapes)
    if family not in _TEXTS:
        return None
    known = configs.base_config(family)
    unet, vae = _below(UNET_PREFIX, shapes), _below(VAE_PREFIX, shapes)
    texts = {folder: (_below(prefix, shapes), read) for folder, (prefix, read) in _TEXTS[family].items()}
    found = [configs.config_from(read, below, known[folder], path) for folder, (below, read) in texts.items()]
    return Model(
        unet_shape(configs.config_from(configs.unet_config, unet, known["unet"], path)),
        tuple(text_shape(config) for config in found),
        _numbers(unet),
        tuple(_numbers(below) for below, _ in texts.values()),
        _numbers(vae),
    )


def model_of_modules(unet: Any, texts: Mapping[str, Any], vae: Any) -> Model:
    """The model that is loaded: its modules tell by their configurations."""
    return Model(
        unet_shape(unet.config),
        tuple(text_shape(text.config.to_dict()) for text in texts.values()),
        _parameters(unet),
        tuple(_parameters(text) for text in texts.values()),
        _parameters(vae),
    )


def _of_folder(folder: Path) -> Model | None:
    parts = [part for part in ("text_encoder", "text_encoder_2") if (folder / part).is_dir()]
    if not parts or not (folder / "unet").is_dir():
        return None
    return Model(
        unet_shape(_config(folder / "unet")),
        tuple(text_shape(_config(folder / part)) for part in parts),
        _in_folder(folder / "unet"),
        tuple(_in_folder(folder / part) for part in parts),
        _in_folder(folder / "vae"),
    )


def _config(folder: Path) -> dict[str, Any]:
    file = folder / "config.json"
    try:
        return dict(parse_json(read_text(file)))
    except (OSError, ValueError, TypeError) as error:
        raise BadFile(f"{file} cannot be read as JSON ({error}). Download or copy the model again.") from error


def _in_folder(folder: Path) -> int:
    """The numbers of the set of weights that lies in a folder: there may be a second one, in fp16."""
    files = sorted(folder.glob("*.safetensors"))
    whole = [file for file in files if "-of-" in file.name and ".fp16" not in file.name] or files[:1]
    headers: list[dict[str, TensorFact]] = [safetensors_header(file)[0] for file in whole]
    headers += [pickled_header(file) for file in sorted(folder.glob("*.bin"))[:1] if not whole]
    return sum(_numbers({name: fact.shape for name, fact in header.items()}) for header in headers)


def _below(prefix: str, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}


def _numbers(shapes: Shapes) -> int:
    return sum(math.prod(shape) for shape in shapes.values())


def _parameters(module: Any) -> int:
    return sum(math.prod(parameter.shape) for parameter in module.parameters())
