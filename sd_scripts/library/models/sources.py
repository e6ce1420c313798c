"""Where a model comes from, a single file or a diffusers folder: what it is, and its parts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, Protocol

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import CPU, open_checkpoint
from sd_scripts.library.io.headers import kind_of, prediction_of
from sd_scripts.library.models import configs
from sd_scripts.library.models.clip_tokenizer import clip_tokenizer
from sd_scripts.library.models.family import FileFormat, PredictionType
from sd_scripts.library.models.folders import read_json, read_part, weight_files
from sd_scripts.library.models.layout import EMA_PREFIX, UNET_PREFIX, VAE_PREFIX
from sd_scripts.library.models.layout.text import WRAPPER, without_wrapper
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.sd1 import SD1
from sd_scripts.library.models.sd2 import SD2
from sd_scripts.library.models.vae import read_vae, vae_from_checkpoint
from sd_scripts.library.models.variant import Variant
from sd_scripts.library.models.weights import adopt, build

VARIANTS = {variant.name: variant for variant in (SD1, SD2)}

_OTHERS = {
    "sdxl": "is an SDXL model, and this program trains Stable Diffusion 1 and 2. Name one of those.",
    "lora": "is a LoRA, not a whole model. Name the model that it belongs to.",
    "vae": "holds only a VAE, not a whole model. Name it with --vae, and a model besides.",
    "unknown": "is no Stable Diffusion model: it lacks a U-Net or a text encoder. Name a model of version 1 or 2.",
}


@dataclass
class Parts:
    """The modules of a model, in the dtypes of their file; `rest`: original tensors that belong to no module."""

    unet: Any
    text_encoder: Any
    tokenizer: Any
    rest: dict[str, Tensor] = field(default_factory=dict)


class Source(Protocol):
    """A model that is not loaded yet."""

    path: Path
    format: FileFormat
    variant: Variant
    prediction_type: PredictionType | None
    """What the model says that it predicts, if it says."""

    def parts(self, known: dict[str, configs.Config]) -> Parts:
        """Loads everything but the VAE. `known` is what is known of the family: {part: configuration}."""

    def vae(self) -> Any:
        """Loads the VAE."""


def open_source(path: Path, device: torch.device = CPU) -> Source:
    """What a path holds, to be read onto a device. Errors: BadFile, when it is no Stable Diffusion 1 or 2 model."""
    return Folder(path, device) if path.is_dir() else SingleFile(path, device)


class SingleFile:
    """A checkpoint in the original layout."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self.file = open_checkpoint(path, device)
        kind = kind_of(self.file.shapes)
        if kind not in VARIANTS:
            _refuse(path, kind)
        self.variant = VARIANTS[kind]
        self.format: FileFormat = "safetensors" if path.suffix.lower() == ".safetensors" else "ckpt"
        self.prediction_type: PredictionType | None = prediction_of(self.file.metadata)

    def parts(self, known: dict[str, configs.Config]) -> Parts:
        text_encoder = self._text_encoder(known["text_encoder"])
        tokenizer = clip_tokenizer(self.variant.pad_token)
        return Parts(self._unet(known["unet"]), text_encoder, tokenizer, self._rest(text_encoder))

    def vae(self) -> Any:
        if not any(name.startswith(VAE_PREFIX) for name in self.file.shapes):
            raise BadFile(f"{self.path} holds no VAE of its own. Name one with --vae.")
        return vae_from_checkpoint(self.file, self.variant is SD2)

    def _unet(self, known: configs.Config) -> Any:
        from diffusers import UNet2DConditionModel

        config = configs.config_from(configs.unet_config, self._shapes(UNET_PREFIX), known, self.path)
        _check_channels(self.path, config)
        names = names_of(config)
        tensors = self.file.read(UNET_PREFIX)
        renamed = {names.to_diffusers(name) or name: tensor for name, tensor in tensors.items()}
        return build(UNet2DConditionModel, config, renamed, self.path)

    def _text_encoder(self, known: configs.Config) -> Any:
        prefix = self.variant.text_prefix
        config = configs.config_from(self.variant.text_config, self._shapes(prefix), known, self.path)
        tensors = self.variant.text_to_clip(self.file.read(prefix), config["num_hidden_layers"])
        return _clip(config, tensors, self.path)

    def _rest(self, text_encoder: Any) -> dict[str, Tensor]:
        """Copies, so that the file need not stay. Averaged weights are left out: after training they would be stale."""
        shapes_only = {name: tensor.to("meta") for name, tensor in text_encoder.state_dict().items()}
        loaded = self.variant.text_to_original(shapes_only, text_encoder.config.num_hidden_layers)
        prefix = self.variant.text_prefix
        # Some files of SD1 lack the wrapper's level; they are saved with it.
        text = {prefix + name for name in loaded} | {prefix + name.removeprefix(WRAPPER) for name in loaded}
        elsewhere = (UNET_PREFIX, VAE_PREFIX, EMA_PREFIX)
        names = (name for name in self.file.shapes if name not in text and not name.startswith(elsewhere))
        return {name: self.file.tensor(name).clone().cpu() for name in names}

    def _shapes(self, prefix: str) -> dict[str, tuple[int, ...]]:
        return {name[len(prefix) :]: shape for name, shape in self.file.shapes.items() if name.startswith(prefix)}


class Folder:
    """A diffusers folder."""

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self.device = device
        if not (path / "unet" / "config.json").is_file():
            raise BadFile(f"{path} is no diffusers model: it has no unet folder with a config.json.")
        if (path / "text_encoder_2").is_dir():
            _refuse(path, "sdxl")
        weights = weight_files(path / "unet")[0]
        self.format: FileFormat = "diffusers_safetensors" if weights.suffix == ".safetensors" else "diffusers"
        self.variant = SD2 if self._is_linear() else SD1
        scheduler = path / "scheduler" / "scheduler_config.json"
        told = read_json(scheduler).get("prediction_type") if scheduler.is_file() else None
        self.prediction_type: PredictionType | None = told if told in ("epsilon", "v_prediction") else None

    def parts(self, known: dict[str, configs.Config]) -> Parts:
        from diffusers import UNet2DConditionModel

        config, tensors = read_part(self.path / "unet", self.device)
        _check_channels(self.path, config)
        unet = build(UNet2DConditionModel, config, tensors, self.path / "unet")
        config, tensors = read_part(self.path / "text_encoder", self.device)
        text_encoder = _clip(known["text_encoder"] | config, without_wrapper(tensors), self.path / "text_encoder")
        return Parts(unet, text_encoder, self._tokenizer())

    def vae(self) -> Any:
        return read_vae(self.path, device=self.device)

    def _is_linear(self) -> bool:
        """Whether the U-Net's projections around attention are linear layers, as SD2 has them."""
        files = [open_checkpoint(file).shapes for file in weight_files(self.path / "unet")]
        shapes = [shape for found in files for name, shape in found.items() if name.endswith(".proj_in.weight")]
        return any(len(shape) == 2 for shape in shapes)

    def _tokenizer(self) -> Any:
        from transformers import CLIPTokenizer

        folder = self.path / "tokenizer"
        if not folder.is_dir():
            return clip_tokenizer(self.variant.pad_token)
        try:
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # whatever a broken file makes transformers stumble over
            raise BadFile(f"{folder} is no tokenizer that can be opened. Copy the model again.") from error


def _clip(config: configs.Config, tensors: dict[str, Tensor], source: Path) -> Any:
    from accelerate import init_empty_weights
    from transformers import CLIPTextConfig, CLIPTextModel

    try:
        with init_empty_weights():
            module = CLIPTextModel(CLIPTextConfig(**{**config, "architectures": ["CLIPTextModel"]}))
    except Exception as error:  # transformers does not check what a configuration says
        raise BadFile(f"{source} has a configuration that makes no model ({error}). Copy the model again.") from error
    return adopt(module, tensors, source)


def _check_channels(path: Path, config: configs.Config) -> None:
    channels = config.get("in_channels")
    if channels != 4:
        raise BadFile(f"{path} takes {channels} channels, as inpainting models do; this program trains those with 4.")


def _refuse(path: Path, kind: str) -> NoReturn:
    raise BadFile(f"{path} {_OTHERS[kind]}")
