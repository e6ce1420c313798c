"""Networks merged into a whole model: its weights with their changes, written one after the other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import write_ckpt
from sd_scripts.library.io.streaming import write_one_by_one
from sd_scripts.library.io.tensor_file import Form
from sd_scripts.library.models.family import PredictionType
from sd_scripts.library.models.original import OriginalModel, StoredLayer, is_vae, piece
from sd_scripts.library.networks.block_strengths import Strengths, strength_of
from sd_scripts.library.networks.changes import fits, with_network
from sd_scripts.library.networks.headers import model_spec
from sd_scripts.library.networks.stored import BASE_TITLES, StoredNetwork
from sd_scripts.library.report import Report, counted

Change = Callable[[StoredLayer, Tensor], Tensor]
"""From a layer's weight (or its bias) to the changed one."""


@dataclass(frozen=True)
class Strong:
    """A network, how strongly it is merged, and that by the blocks of the U-Net."""

    network: StoredNetwork
    strength: float
    by_block: Strengths

    def at(self, key: str) -> float:
        """Its strength for one layer."""
        return self.strength * strength_of(key, self.by_block)


@dataclass(frozen=True)
class Written:
    """The model's file to write. `dtype`: of all but the VAE, which keeps its own."""

    path: Path
    dtype: torch.dtype
    with_spec: bool
    merged_from: Sequence[str]


def merge_into(model: OriginalModel, networks: Sequence[Strong], computed: torch.dtype, to: Written, r: Report) -> None:
    """Writes the model with the networks' changes, computed in a number format. Errors: BadFile."""
    for strong in networks:
        _check(model, strong.network)
    changed = {key for strong in networks for key in strong.network.keys}

    def change(layer: StoredLayer, weight: Tensor) -> Tensor:
        for strong in networks:
            if strong.network.has(layer.key):
                weight = with_network(weight, strong.network.lora(layer.key), strong.at(layer.key), computed)
        return weight

    weights = {model.layers[key].tensor: change for key in changed}
    write_changed(model, weights, to, [strong.network.metadata for strong in networks], r)
    r.summary(f"Merged {counted(len(networks), 'network')} into {counted(len(changed), 'layer')}: {to.path}.")


def write_changed(
    model: OriginalModel, changes: Mapping[str, Change], to: Written, headers: Sequence[Mapping[str, str]], r: Report
) -> None:
    """Writes a model of which some tensors are changed. Errors: BadFile."""
    names = model.names()
    r.phase("merge", f"Merging into {model.path}.", total=len(names))
    by_tensor: dict[str, list[StoredLayer]] = {}
    for layer in model.layers.values():
        for name in (layer.tensor, layer.bias):
            by_tensor.setdefault(name, []).append(layer)

    def make(name: str) -> Tensor:
        tensor = model.tensors.tensor(name)
        if name in changes:
            tensor = torch.cat([changes[name](layer, piece(tensor, layer)) for layer in by_tensor[name]])
        return tensor

    predicted = model.prediction_type or _told(headers)
    spec = model_spec(to.path, model.variant, predicted, to.merged_from) if to.with_spec else {}
    if to.path.suffix.lower() == ".safetensors":
        write_one_by_one(to.path, {name: _form(model, name, to.dtype) for name in names}, make, spec, r)
    else:
        write_ckpt(to.path, {name: make(name).to(_form(model, name, to.dtype).dtype) for name in r.whole(names)})
    r.saved(to.path, "model")


def _form(model: OriginalModel, name: str, dtype: torch.dtype) -> Form:
    own = model.tensors.tensor(name).dtype
    keeps = is_vae(name) or not own.is_floating_point
    return Form(own if keeps else dtype, model.tensors.shapes[name])


def _told(headers: Sequence[Mapping[str, str]]) -> PredictionType:
    """What networks' headers say that their model predicts."""
    velocity = any(header.get("ss_base_model_version", "").endswith("_v") for header in headers)
    return "v_prediction" if velocity else "epsilon"


def _check(model: OriginalModel, network: StoredNetwork) -> None:
    """Raises BadFile for a network of another kind of model."""
    if (network.base == "sdxl") != (model.kind == "sdxl"):
        title = "an SDXL model" if model.kind == "sdxl" else f"a Stable Diffusion {model.kind[-1]} model"
        kinds = f"{network.path} is for {BASE_TITLES[network.base]}, and {model.path} is {title}"
        raise BadFile(f"{kinds}. Choose a network and a model of one kind.")
    for key in network.keys:
        layer = model.layers.get(key)
        if layer is None:
            raise BadFile(f"{network.path} is for another kind of model: {model.path} has no layer {key}.")
        shape = model.shape(layer)
        if not fits(shape, network.lora(key)):
            raise BadFile(f"{network.path} is for another kind of model: its {key} does not fit {list(shape)}.")
