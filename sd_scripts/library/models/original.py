"""A whole model as its original tensors: read one by one, with the layers that networks change found among them.

Nothing is built: what a layer is follows from the names and shapes of the tensors. So a model of any size takes the
memory of one of its layers.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.io.checkpoints import CPU, Checkpoint
from sd_scripts.library.models import configs
from sd_scripts.library.models.adaptable import is_adapted, lies_among_convs, network_key
from sd_scripts.library.models.family import PredictionType
from sd_scripts.library.models.layout import EMA_PREFIX, UNET_PREFIX, VAE_PREFIX
from sd_scripts.library.models.layout.text import clip_names
from sd_scripts.library.models.layout.unet import names_of
from sd_scripts.library.models.paths import model_path
from sd_scripts.library.models.saving import original_tensors
from sd_scripts.library.models.sources import Folder, SingleFile, Source, open_source
from sd_scripts.library.models.variant import TextVariant, Variant

_WEIGHT = ".weight"


@dataclass(frozen=True)
class StoredLayer:
    """A layer by its name in networks' files. `tensor`: the original name of its weight; `third`: which of the three
    in it (q, k, v) it is, None where it is alone.

    `adapted`: networks adapt it, `among_convs` only where they adapt convolutions too.
    """

    key: str
    tensor: str
    part: str
    third: int | None = None
    adapted: bool = False
    among_convs: bool = False

    @property
    def bias(self) -> str:
        """The original name of its bias, which it need not have."""
        if self.third is not None:
            return self.tensor.removesuffix("weight") + "bias"
        return self.tensor.removesuffix(_WEIGHT) + ".bias"


@dataclass
class OriginalModel:
    """An open model."""

    path: Path
    variant: Variant
    prediction_type: PredictionType | None
    tensors: Checkpoint
    layers: dict[str, StoredLayer] = field(default_factory=dict)
    """By their names in networks' files."""

    @property
    def kind(self) -> str:
        """sd1, sd2 or sdxl."""
        return self.variant.name

    def names(self) -> list[str]:
        """See `current_names`."""
        return current_names(self.tensors)

    def shape(self, layer: StoredLayer) -> tuple[int, ...]:
        """The shape of a layer's weight."""
        first, *others = self.tensors.shapes[layer.tensor]
        return (first if layer.third is None else first // 3, *others)

    def weight(self, layer: StoredLayer) -> Tensor:
        """A layer's weight, read from the file."""
        return piece(self.tensors.tensor(layer.tensor), layer)


def piece(tensor: Tensor, layer: StoredLayer) -> Tensor:
    """A layer's own part of the tensor, or bias, that it lies in: a view."""
    return tensor if layer.third is None else tensor.chunk(3)[layer.third]


def current_names(tensors: Checkpoint) -> list[str]:
    """All tensors but averaged ones, which a change of the others would make stale."""
    return [name for name in tensors.shapes if not name.startswith(EMA_PREFIX)]


def is_vae(name: str) -> bool:
    """Whether an original tensor belongs to the VAE."""
    return name.startswith(VAE_PREFIX)


def open_original(name_or_path: str, device: torch.device = CPU) -> OriginalModel:
    """A model file, a diffusers folder or a hub id; what is read of it is read onto `device`. Errors: BadFile."""
    source, tensors = open_tensors(name_or_path, device)
    model = OriginalModel(source.path, source.variant, source.prediction_type, tensors)
    model.layers = {layer.key: layer for layer in _layers(model, configs.base_config(source.variant.config))}
    return model


def open_tensors(name_or_path: str, device: torch.device = CPU) -> tuple[Source, Checkpoint]:
    """The same with its original tensors alone, whatever layers they are of. Errors: BadFile."""
    source = open_source(model_path(name_or_path), device, ("sd1", "sd2", "sdxl"))
    if isinstance(source, SingleFile):
        return source, source.file
    assert isinstance(source, Folder)
    return source, _Held(source.path, _translated(source, configs.base_config(source.variant.config)))


class _Held:
    """Tensors in memory, or in the files that they are mapped from, as an open file."""

    metadata: dict[str, str] = {}

    def __init__(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        self.path = path
        self._tensors = tensors
        self.shapes = {name: tuple(tensor.shape) for name, tensor in tensors.items()}

    def read(self, prefix: str = "") -> dict[str, Tensor]:
        return {name[len(prefix) :]: tensor for name, tensor in self._tensors.items() if name.startswith(prefix)}

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name]


def _translated(source: Folder, known: dict[str, configs.Config]) -> dict[str, Tensor]:
    """A folder's tensors under their original names."""
    from sd_scripts.library.models.sd import StableDiffusion
    from sd_scripts.library.models.sdxl import StableDiffusionXL

    kind: Any = StableDiffusionXL if source.kind == "sdxl" else StableDiffusion
    return original_tensors(kind(source, source.parts(known), source.vae(), known["scheduler"]), None)


def _layers(model: OriginalModel, known: dict[str, configs.Config]) -> Iterator[StoredLayer]:
    yield from _unet_layers(model, known["unet"])
    several = len(model.variant.texts) > 1
    for number, text in enumerate(model.variant.texts, 1):
        part, prefix = (f"text_encoder{number}", f"lora_te{number}") if several else ("text_encoder", "lora_te")
        yield from _text_layers(model, text, known[text.folder], part, f"{prefix}_text_model")


def _unet_layers(model: OriginalModel, known: configs.Config) -> Iterator[StoredLayer]:
    shapes = _shapes(model, UNET_PREFIX)
    names = names_of(configs.config_from(configs.unet_config, shapes, known, model.path))
    for name, shape in shapes.items():
        translated = names.to_diffusers(name)
        if translated and name.endswith(_WEIGHT):
            key = network_key("lora_unet", name if model.kind == "sdxl" else translated)
            adapted = len(shape) > 1 and is_adapted(translated)
            yield StoredLayer(key, UNET_PREFIX + name, "unet", None, adapted, adapted and lies_among_convs(translated))


def _text_layers(
    model: OriginalModel, text: TextVariant, known: configs.Config, part: str, prefix: str
) -> Iterator[StoredLayer]:
    shapes = _shapes(model, text.prefix)
    layers = configs.config_from(text.read_config, shapes, known, model.path)["num_hidden_layers"]
    for name, shape in shapes.items():
        found = clip_names(name, layers)
        for third, translated in enumerate(found):
            if translated.endswith(_WEIGHT):
                adapted = len(shape) > 1 and translated.startswith("encoder.")
                place = third if len(found) > 1 else None
                yield StoredLayer(network_key(prefix, translated), text.prefix + name, part, place, adapted)


def _shapes(model: OriginalModel, prefix: str) -> dict[str, tuple[int, ...]]:
    shapes = model.tensors.shapes
    return {name[len(prefix) :]: shape for name, shape in shapes.items() if name.startswith(prefix)}
