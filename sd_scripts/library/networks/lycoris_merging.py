"""Networks of LyCORIS merged into a model: its package computes what each layer becomes."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadFile, NotInstalled
from sd_scripts.library.io.checkpoints import Checkpoint, open_checkpoint
from sd_scripts.library.io.usable import all_usable
from sd_scripts.library.models.original import OriginalModel, StoredLayer, piece
from sd_scripts.library.networks.into_model import Change, Written, write_changed
from sd_scripts.library.report import Report, counted

_BIASES = (".diff_b", ".b_norm")
_SPARSE = ("bias_size", "bias_indices", "bias_values")


def merge_lycoris(
    model: OriginalModel, path: str, strength: float, device: torch.device, to: Written, r: Report
) -> None:
    """Writes the model with the network in it. Errors: BadFile, NotInstalled."""
    modules = _package()
    network = open_checkpoint(path)
    keys = sorted({name.split(".")[0] for name in network.shapes if name.startswith("lora_")})
    if not keys:
        raise BadFile(f"{path} is no network: none of its tensors has a name that begins with lora_. Choose another.")
    strange = [key for key in keys if key not in model.layers]
    if strange:
        few = f"{counted(len(strange), 'layer')} that {model.path} has not, such as {strange[0]}"
        raise BadFile(f"{path} is for another kind of model: it has {few}. Choose a pair that fits.")
    merging = _Merging(model, network, Path(path), strength, device, modules)
    write_changed(model, merging.changes(keys), to, [network.metadata], r)
    r.summary(f"Merged {path} into {counted(len(keys), 'layer')}: {to.path}.")


class _Merging:
    """One network on its way into a model."""

    def __init__(
        self, model: OriginalModel, network: Checkpoint, path: Path, strength: float, device: torch.device, modules: Any
    ) -> None:
        self._model, self._network, self._path = model, network, path
        self._strength, self._device, self._modules = strength, device, modules

    def changes(self, keys: list[str]) -> dict[str, Change]:
        """What becomes of the model's tensors, by their names."""
        found: dict[str, Change] = {}
        for key in keys:
            layer = self._model.layers[key]
            found[layer.tensor] = self._weight
            if any(f"{key}{ending}" in self._network.shapes for ending in _BIASES):
                found[layer.bias] = self._bias
        lacking = [name for name in found if name not in self._model.tensors.shapes]
        if lacking:
            raise BadFile(f"{self._path} is for another kind of model: {self._model.path} has no {lacking[0]}.")
        return found

    def _weight(self, layer: StoredLayer, weight: Tensor) -> Tensor:
        return self._layer(layer).weight if self._tensors(layer) else weight

    def _bias(self, layer: StoredLayer, bias: Tensor) -> Tensor:
        return self._layer(layer).bias if self._tensors(layer) else bias

    def _tensors(self, layer: StoredLayer) -> dict[str, Tensor]:
        return all_usable(self._path, self._network.read(f"{layer.key}."))

    @torch.no_grad()
    def _layer(self, layer: StoredLayer) -> Any:
        """The layer with the network's change in its weight and bias."""
        tensors = self._tensors(layer)
        made = self._bare(layer)
        if "on_input" in tensors:
            made.weight += ia3(made.weight, tensors) * self._strength
            return made
        named = {f"{layer.key}.{name}": tensor.to(self._device).float() for name, tensor in tensors.items()}
        kind, parameters = self._modules.get_module(named, layer.key)
        if kind is None:
            raise BadFile(f"{self._path}: LyCORIS does not know what {layer.key} is ({', '.join(sorted(tensors))}).")
        try:
            change = self._modules.make_module(kind, parameters, layer.key, made)
            _scaled_once(change.to(self._device)).merge_to(self._strength)
        except (RuntimeError, ValueError) as error:
            misfit = f"its {layer.key} does not fit {list(made.weight.shape)}"
            raise BadFile(f"{self._path} is for another kind of model: {misfit}.") from error
        made.weight += sparse(tensors, made.weight.shape).to(self._device) * self._strength
        return made

    def _bare(self, layer: StoredLayer) -> Any:
        """The layer alone, in float32."""
        held = self._model.tensors
        weight = self._model.weight(layer).to(self._device).float().clone()
        made = _KINDS[weight.ndim](weight.shape, layer.bias in held.shapes)
        made.weight = nn.Parameter(weight, requires_grad=False)
        if layer.bias in held.shapes:
            bias = piece(held.tensor(layer.bias), layer).to(self._device).float()
            made.bias = nn.Parameter(bias.clone(), requires_grad=False)
        return made


def ia3(weight: Tensor, tensors: Mapping[str, Tensor]) -> Tensor:
    """(IA)^3's change: each row of the weight, or each column where it works on the input, times a number.

    LyCORIS 4.1.3 cannot open its own files of this kind. Source: Liu et al., "Few-Shot Parameter-Efficient Fine-Tuning
    is Better and Cheaper than In-Context Learning", 2022.
    """
    numbers = tensors["weight"].flatten().to(weight)
    axis = 1 if bool(tensors["on_input"]) else 0
    return weight * numbers.view([-1 if place == axis else 1 for place in range(weight.ndim)])


def _scaled_once(change: Any) -> Any:
    """LoHa and LoKr with the change that they are trained with: LyCORIS 4.1.3 merges them with alpha / rank twice."""
    if type(change).__name__ in ("LohaModule", "LokrModule"):
        change.get_diff_weight = lambda multiplier=1, shape=None, device=None: (
            change.get_weight(shape) * multiplier,
            None,
        )
    return change


def sparse(tensors: Mapping[str, Tensor], shape: torch.Size) -> Tensor:
    """What a LoCon's low rank misses, where its file keeps the largest numbers of that; else 0."""
    if _SPARSE[0] not in tensors:
        return torch.zeros(())
    rows, columns = tensors["bias_size"].tolist()
    # Two bytes with a sign hold no larger index: the file's numbers wrapped around.
    indices = tensors["bias_indices"].long() % 2**16
    missed_OI = torch.zeros(rows % 2**16, columns % 2**16)
    missed_OI[indices[0], indices[1]] = tensors["bias_values"].float()
    return missed_OI.view(shape)


def _package() -> Any:
    try:
        from lycoris import modules
    except ImportError as error:
        sentence = f"This needs the package LyCORIS, which cannot be imported ({error})"
        raise NotInstalled(f"{sentence}. Install it with pip install lycoris_lora.") from error
    return modules


def _norm(shape: torch.Size, bias: bool) -> nn.Module:
    return nn.LayerNorm(shape[0], device="meta", bias=bias)


def _linear(shape: torch.Size, bias: bool) -> nn.Module:
    return nn.Linear(shape[1], shape[0], bias, device="meta")


def _conv(shape: torch.Size, bias: bool) -> nn.Module:
    height, width = shape[2:]
    return nn.Conv2d(shape[1], shape[0], (height, width), bias=bias, device="meta")


_KINDS = {1: _norm, 2: _linear, 4: _conv}
"""A layer for a weight with so many axes."""
