"""A LoRA out of two models: what the second has learnt since the first, layer by layer in a low rank."""

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.usable import no_numbers
from sd_scripts.library.models.original import OriginalModel, StoredLayer
from sd_scripts.library.networks.factors import Factors, limited, singular_of_matrix
from sd_scripts.library.networks.stored import lora_tensors
from sd_scripts.library.report import Report, counted


@dataclass(frozen=True)
class Pair:
    """The model that was trained, and what it was before. `dtype`: what their weights are rounded to before."""

    before: OriginalModel
    after: OriginalModel
    dtype: torch.dtype | None = None

    def check(self) -> None:
        """Raises BadFile where the two are not of one kind and size."""
        for key, layer in self.before.layers.items():
            there = self.after.layers.get(key)
            if there is None or self.after.shape(there) != self.before.shape(layer):
                kinds = f"{self.after.path} is of another kind or size than {self.before.path}: {key} differs in shape"
                raise BadFile(f"{kinds}. Choose a model, and one that was trained from it.")

    def change(self, layer: StoredLayer, device: torch.device) -> Tensor:
        """What a layer's weight has gained, in float32. Errors: BadFile, where a model's weight is no numbers."""
        dtype = self.dtype or torch.float32
        before, after = (
            model.weight(model.layers[layer.key]).to(device, dtype).float() for model in (self.before, self.after)
        )
        change = after - before
        if not bool(change.isfinite().all()):
            raise no_numbers((self.before if after.isfinite().all() else self.after).path, layer.key)
        return change


Rank = Callable[[Tensor, bool], int]
"""The rank for a change with these singular values; whether it is of a wide convolution."""


@dataclass(frozen=True)
class Extraction:
    """How a LoRA is extracted. `with_convs`: of Resnet, Down- and Upsample blocks too. `limit`: see `limited`.

    `least`: where no weight of a text encoder has changed as much, it is left out.
    """

    rank: Rank
    with_convs: bool
    device: torch.device
    least: float = 0.0
    limit: float = 1.0


def extracted(pair: Pair, how: Extraction, r: Report) -> dict[str, Tensor]:
    """The LoRA's tensors; layers that have not changed are left out. Errors: BadFile."""
    pair.check()
    layers = list(_layers(pair, how, r))
    r.phase("extract", f"Extracting what {pair.after.path} has learnt since {pair.before.path}.", total=len(layers))
    tensors: dict[str, Tensor] = {}
    for layer in r.whole(layers):
        change = pair.change(layer, how.device)
        if change.any():
            tensors |= _tensors(layer.key, change, low_rank(change, how))
    if not tensors:
        raise BadFile(f"{pair.before.path} and {pair.after.path} are the same: there is nothing to extract.")
    return tensors


def low_rank(change: Tensor, how: Extraction) -> Factors:
    """The best approximation of a weight's change in the rank that is asked for."""
    found = singular_of_matrix(change.flatten(1))
    wide = change.ndim == 4 and tuple(change.shape[2:]) != (1, 1)
    cut = found.cut(min(how.rank(found.values_R, wide), len(found.values_R)))
    return limited(cut, how.limit) if how.limit < 1 else cut


def conv_arguments(conv_rank: int | None) -> str:
    """What the header says of --network_args."""
    return json.dumps({"conv_dim": str(conv_rank), "conv_alpha": str(float(conv_rank))}) if conv_rank else ""


def _layers(pair: Pair, how: Extraction, r: Report) -> Iterator[StoredLayer]:
    """The layers that LoRA adapts, without those of text encoders that have not changed."""
    adapted = [layer for layer in pair.before.layers.values() if layer.adapted]
    still = {part for part in {layer.part for layer in adapted} - {"unet"} if not _moved(pair, part, adapted, how)}
    for part in sorted(still):
        r.notice(f"No weight of the {part.replace('_', ' ')} has changed by more than {how.least:g}: it is left out.")
    return (layer for layer in adapted if layer.part not in still and (how.with_convs or not layer.among_convs))


def _moved(pair: Pair, part: str, adapted: list[StoredLayer], how: Extraction) -> bool:
    """Whether a weight of a part has changed by more than is asked for."""
    layers = (layer for layer in adapted if layer.part == part)
    return any(float(pair.change(layer, how.device).abs().max()) > how.least for layer in layers)


def _tensors(key: str, change: Tensor, factors: Factors) -> dict[str, Tensor]:
    up, down = factors.up_OR, factors.down_RI.reshape(factors.rank, *change.shape[1:])
    if change.ndim == 4:
        up = up[:, :, None, None]
    return lora_tensors(key, down, up, factors.rank)


def told(tensors: dict[str, Tensor]) -> str:
    """How many layers there are in a network."""
    return counted(len({name.split(".")[0] for name in tensors}), "layer")
