"""Where a model comes from, a single file or a diffusers folder: what it is, and its parts."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

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
from sd_scripts.library.models.layout.text import WRAPPER
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.sd1 import SD1
from sd_scripts.library.models.sd2 import SD2
from sd_scripts.library.models.sdxl_variant import SDXL
from sd_scripts.library.models.vae import read_vae, vae_from_checkpoint
from sd_scripts.library.models.variant import TextVariant, Variant
from sd_scripts.library.models.weights import adopt, build, without_numbers

VARIANTS = {variant.name: variant for variant in (SD1, SD2, SDXL)}

_NOT_XL = "and this program trains SDXL. Use train_network.py, or fine_tune.py for whole models."
_NOT_SD = (
    "and this program trains Stable Diffusion 1 and 2. Use sdxl_train_network.py, or sdxl_train.py for whole models."
)
_OTHERS = {
    "sd1": f"is a Stable Diffusion 1 model, {_NOT_XL}",
    "sd2": f"is a Stable Diffusion 2 model, {_NOT_XL}",
    "sdxl": f"is an SDXL model, {_NOT_SD}",
    "lora": "is a LoRA, not a whole model. Name the model that it belongs to.",
    "vae": "holds only a VAE, not a whole model. Name it with --vae, and a model besides.",
    "unknown": "is no Stable Diffusion model: it lacks a U-Net or a text encoder. Name a model of {wanted}.",
}
_WANTED = {"sd1": "version 1 or 2", "sdxl": "SDXL"}


@dataclass
class Parts:
    """The modules of a model, in the dtypes of their file; `rest`: original tensors that belong to no module.

    `unet` is None where the text encoders were read alone.
    """

    unet: Any
    text_encoders: list[Any]
    tokenizers: list[Any]
    rest: dict[str, Tensor] = field(default_factory=dict)


class Source(Protocol):
    """A model that is not loaded yet."""

    path: Path
    format: FileFormat
    variant: Variant
    prediction_type: PredictionType | None
    """What the model says that it predicts, if it says."""
    metadata: dict[str, str]
    """What a file's header says."""

    def parts(self, known: dict[str, configs.Config]) -> Parts:
        """Loads everything but the VAE. `known` is what is known of the family: {part: configuration}."""

    def texts(self, known: dict[str, configs.Config]) -> Parts:
        """Loads the text encoders and tokenizers alone."""

    def vae(self) -> Any:
        """Loads the VAE."""


def open_source(
    path: Path,
    device: torch.device = CPU,
    kinds: tuple[str, ...] = ("sd1", "sd2"),
    mapped: bool = True,
    variant: str | None = None,
) -> Source:
    """What a path holds, to be read onto a device; `mapped`: see open_checkpoint; `variant`: of a folder's files.

    Errors: BadFile, when it is no model of these kinds.
    """
    source = Folder(path, device, mapped, variant) if path.is_dir() else SingleFile(path, device, mapped)
    if source.kind not in kinds:
        raise BadFile(f"{path} {_OTHERS[source.kind].format(wanted=_WANTED[kinds[0]])}")
    source.variant = VARIANTS[source.kind]
    return source


class SingleFile:
    """A checkpoint in the original layout."""

    variant: Variant

    def __init__(self, path: Path, device: torch.device, mapped: bool) -> None:
        self.path = path
        self.file = open_checkpoint(path, device, mapped)
        self.kind: str = kind_of(self.file.shapes)
        self.format: FileFormat = "safetensors" if path.suffix.lower() == ".safetensors" else "ckpt"
        # SDXL's files that predict velocity have an empty tensor of this name.
        velocity: PredictionType | None = "v_prediction" if "v_pred" in self.file.shapes else None
        self.prediction_type: PredictionType | None = prediction_of(self.file.metadata) or velocity
        self.metadata = self.file.metadata

    def parts(self, known: dict[str, configs.Config]) -> Parts:
        parts = self.texts(known)
        parts.unet = self._unet(known["unet"], parts.text_encoders[-1])
        parts.rest = self._rest(list(zip(self.variant.texts, parts.text_encoders, strict=True)))
        return parts

    def texts(self, known: dict[str, configs.Config]) -> Parts:
        modules = [self._text_encoder(text, known[text.folder]) for text in self.variant.texts]
        return Parts(None, modules, [clip_tokenizer(text.pad_token) for text in self.variant.texts])

    def vae(self) -> Any:
        if not any(name.startswith(VAE_PREFIX) for name in self.file.shapes):
            raise BadFile(f"{self.path} holds no VAE of its own. Name one with --vae.")
        return vae_from_checkpoint(self.file, self.variant.config)

    def _unet(self, known: configs.Config, last_text_encoder: Any) -> Any:
        from diffusers import UNet2DConditionModel

        config = configs.config_from(configs.unet_config, self._shapes(UNET_PREFIX), known, self.path)
        _check_channels(self.path, config)
        if "addition_time_embed_dim" in config:
            width = last_text_encoder.config.projection_dim
            config = configs.config_from(lambda _, found: configs.with_pooled(found, width), {}, config, self.path)
        names = names_of(config)
        tensors = self.file.read(UNET_PREFIX)
        renamed = {names.to_diffusers(name) or name: tensor for name, tensor in tensors.items()}
        return build(UNet2DConditionModel, config, renamed, self.path)

    def _text_encoder(self, text: TextVariant, known: configs.Config) -> Any:
        shapes = self._shapes(text.prefix)
        if not shapes:
            raise BadFile(f"{self.path} lacks a text encoder, as SDXL's refiner does. Name a whole base model.")
        config = configs.config_from(text.read_config, shapes, known, self.path)
        return _clip(text, config, text.to_clip(self.file.read(text.prefix), config["num_hidden_layers"]), self.path)

    def _rest(self, texts: list[tuple[TextVariant, Any]]) -> dict[str, Tensor]:
        """Copies, so that the file need not stay. Averaged weights are left out: after training they would be stale."""
        loaded: set[str] = set()
        for text, module in texts:
            shapes_only = {name: tensor.to("meta") for name, tensor in module.state_dict().items()}
            own = text.to_original(shapes_only, module.config.num_hidden_layers)
            # Some files of SD1 lack the wrapper's level; they are saved with it.
            loaded |= {text.prefix + name for name in own} | {text.prefix + name.removeprefix(WRAPPER) for name in own}
        elsewhere = (UNET_PREFIX, VAE_PREFIX, EMA_PREFIX)
        names = (name for name in self.file.shapes if name not in loaded and not name.startswith(elsewhere))
        return {name: self.file.tensor(name).clone().cpu() for name in names}

    def _shapes(self, prefix: str) -> dict[str, tuple[int, ...]]:
        return {name[len(prefix) :]: shape for name, shape in self.file.shapes.items() if name.startswith(prefix)}


class Folder:
    """A diffusers folder."""

    variant: Variant

    metadata: dict[str, str] = {}

    def __init__(self, path: Path, device: torch.device, mapped: bool, file_variant: str | None = None) -> None:
        self.path = path
        self.device = device
        self.mapped = mapped
        self.file_variant = file_variant
        if not (path / "unet" / "config.json").is_file():
            raise BadFile(f"{path} is no diffusers model: it has no unet folder with a config.json.")
        weights = weight_files(path / "unet", file_variant)[0]
        self.format: FileFormat = "diffusers_safetensors" if weights.suffix == ".safetensors" else "diffusers"
        linear = "sd2" if self._is_linear() else "sd1"
        self.kind = "sdxl" if (path / "text_encoder_2").is_dir() else linear
        scheduler = path / "scheduler" / "scheduler_config.json"
        told = read_json(scheduler).get("prediction_type") if scheduler.is_file() else None
        self.prediction_type: PredictionType | None = told if told in ("epsilon", "v_prediction") else None

    def parts(self, known: dict[str, configs.Config]) -> Parts:
        from diffusers import UNet2DConditionModel

        config, tensors = self._part("unet")
        _check_channels(self.path, config)
        parts = self.texts(known)
        parts.unet = build(UNet2DConditionModel, config, tensors, self.path / "unet")
        return parts

    def texts(self, known: dict[str, configs.Config]) -> Parts:
        modules = [self._text_encoder(text, known[text.folder]) for text in self.variant.texts]
        return Parts(None, modules, [self._tokenizer(text) for text in self.variant.texts])

    def vae(self) -> Any:
        return read_vae(self.path, device=self.device, mapped=self.mapped, variant=self.file_variant)

    def _text_encoder(self, text: TextVariant, known: configs.Config) -> Any:
        folder = self.path / text.folder
        config, tensors = self._part(text.folder)
        return _clip(text, known | config, text.from_folder(tensors), folder)

    def _is_linear(self) -> bool:
        """Whether the U-Net's projections around attention are linear layers, as SD2 has them."""
        files = [open_checkpoint(file).shapes for file in weight_files(self.path / "unet", self.file_variant)]
        shapes = [shape for found in files for name, shape in found.items() if name.endswith(".proj_in.weight")]
        return any(len(shape) == 2 for shape in shapes)

    def _part(self, name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
        return read_part(self.path / name, self.device, self.mapped, self.file_variant)

    def _tokenizer(self, text: TextVariant) -> Any:
        from transformers import CLIPTokenizer

        folder = self.path / text.tokenizer
        if not folder.is_dir():
            return clip_tokenizer(text.pad_token)
        try:
            return CLIPTokenizer.from_pretrained(folder, local_files_only=True)
        except Exception as error:  # whatever a broken file makes transformers stumble over
            raise BadFile(f"{folder} is no tokenizer that can be opened. Copy the model again.") from error


def _clip(text: TextVariant, config: configs.Config, tensors: dict[str, Tensor], source: Path) -> Any:
    import transformers

    try:
        with without_numbers():
            made = transformers.CLIPTextConfig(**{**config, "architectures": [text.kind]})
            module = getattr(transformers, text.kind)(made)
    except Exception as error:  # transformers does not check what a configuration says
        raise BadFile(f"{source} has a configuration that makes no model ({error}). Copy the model again.") from error
    return adopt(module, tensors, source)


def _check_channels(path: Path, config: configs.Config) -> None:
    channels = config.get("in_channels")
    if channels != 4:
        raise BadFile(f"{path} takes {channels} channels, as inpainting models do; this program trains those with 4.")
