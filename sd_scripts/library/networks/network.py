"""What our networks have in common: their adapters, which act, load, merge, learn and are saved together."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Generic, NamedTuple, TypeVar

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadFile
from sd_scripts.library.models.adaptable import Adaptable, Layer
from sd_scripts.library.networks.adapter import Adapter, LoraAdapter
from sd_scripts.library.networks.arguments import RatioArguments
from sd_scripts.library.networks.files import read_network, write_network
from sd_scripts.library.networks.groups import Groups, Share, parameter_groups

A = TypeVar("A", bound=Adapter)


class Loaded(NamedTuple):
    """How a file fits a network: what the file lacks, what the network has no place for, where the alphas differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]
    other_alphas: list[str]


@dataclass(frozen=True)
class Pace:
    """What rates are multiplied by: those of the U-Net's blocks, and those of second matrices (LoRA+)."""

    blocks: tuple[float, ...] | None = None
    ratios: RatioArguments = RatioArguments()

    @property
    def unet_ratio(self) -> float | None:
        """How many times faster second matrices in the U-Net learn."""
        return self.ratios.loraplus_unet_lr_ratio or self.ratios.loraplus_lr_ratio

    @property
    def text_ratio(self) -> float | None:
        """How many times faster second matrices in text encoders learn."""
        return self.ratios.loraplus_text_encoder_lr_ratio or self.ratios.loraplus_lr_ratio


class AdapterNetwork(nn.Module, Generic[A]):
    """The adapters of a model. state_dict() has the tensors of its file, under their names there."""

    file_kind, file_mark = "LoRA", "lora_down.weight"

    def __init__(self, adaptable: Adaptable, adapters: Iterable[A], pace: Pace, multiplier: float = 1.0) -> None:
        super().__init__()
        self._layers: dict[str, Layer] = {layer.key: layer for layer in adaptable.layers}
        self._text_parts = dict.fromkeys(layer.part for layer in adaptable.layers if layer.part != "unet")
        self._pace = pace
        made = list(adapters)
        self.unet_loras = [adapter for adapter in made if self._part(adapter) == "unet"]
        self.text_encoder_loras = [adapter for adapter in made if self._part(adapter) != "unet"]
        self.set_multiplier(multiplier)

    def set_multiplier(self, multiplier: float) -> None:
        """How strongly the network changes the model."""
        for adapter in self._adapters:
            adapter.multiplier = multiplier

    def apply_to(self, text_encoder: Any, unet: Any, apply_text_encoder: bool = True, apply_unet: bool = True) -> None:
        """From now on the model's layers answer with the network's change; a part that is not applied is dropped."""
        self.text_encoder_loras = self.text_encoder_loras if apply_text_encoder else []
        self.unet_loras = self.unet_loras if apply_unet else []
        for adapter in self._adapters:
            adapter.attach()
            self.add_module(adapter.lora_name, adapter)

    def load_weights(self, file: str) -> Loaded:
        """Takes a file's tensors in place of its own. Errors: BadFile, where they are of other sizes."""
        return self._take(read_network(file, self.file_kind, self.file_mark), file)

    def merge_to(self, text_encoder: Any, unet: Any, weights_sd: dict[str, Tensor], dtype: Any, device: Any) -> None:
        """Adds the change that tensors make to the model's own weights, which keep their type and their place."""
        for adapter in self._adapters:
            self.add_module(adapter.lora_name, adapter)
        self._take(weights_sd, "The network")
        with torch.no_grad():
            for adapter in self._adapters:
                weight = adapter.to(adapter.layer.weight.device).layer.weight
                weight.copy_(weight.float() + adapter.weight_change())

    def prepare_optimizer_params_with_multiple_te_lrs(
        self, text_encoder_lr: list[float] | None, unet_lr: float | None, default_lr: float
    ) -> Groups:
        """The optimizer's groups, each with its `name`. One rate for each text encoder, or one for all."""
        unet_rate = default_lr if unet_lr is None else unet_lr
        shares = [
            Share(name, adapters, unet_rate * weight, self._pace.unet_ratio)
            for name, adapters, weight in self._unet_shares()
        ]
        rates = text_encoder_lr or [default_lr]
        by_part = self._by_part(self.text_encoder_loras)
        for number, part in enumerate(self._text_parts):
            rate = rates[min(number, len(rates) - 1)]
            shares.extend([Share(part, by_part[part], rate, self._pace.text_ratio)] if part in by_part else [])
        return parameter_groups(shares)

    def prepare_grad_etc(self, text_encoder: Any, unet: Any) -> None:
        """All of it is trained, but for what its kind leaves as it is."""
        self.requires_grad_(True)
        for adapter in self._adapters:
            for name in adapter.stays:
                adapter.get_parameter(name).requires_grad_(False)

    def save_weights(self, file: str, dtype: torch.dtype | None, metadata: dict[str, str] | None) -> None:
        """Writes its tensors. Errors: BadFile."""
        write_network(file, self.state_dict(), dtype, metadata or {})

    @property
    def ranks(self) -> set[int]:
        """The ranks that its adapters have, but for those of wide convolutions."""
        return {one.rank for one in self._adapters if not self._layers[one.lora_name].is_wide_conv}

    @property
    def alphas(self) -> set[float]:
        """The alphas of the same adapters."""
        return {float(one.alpha) for one in self._adapters if not self._layers[one.lora_name].is_wide_conv}

    @property
    def _adapters(self) -> list[A]:
        return [*self.unet_loras, *self.text_encoder_loras]

    def _part(self, adapter: A) -> str:
        return self._layers[adapter.lora_name].part

    def _by_part(self, adapters: list[A]) -> dict[str, tuple[A, ...]]:
        parts = dict.fromkeys(map(self._part, adapters))
        return {part: tuple(one for one in adapters if self._part(one) == part) for part in parts}

    def _unet_shares(self) -> Iterator[tuple[str, tuple[A, ...], float]]:
        """Name, adapters and weight of what has one rate in the U-Net: its blocks, where these have weights."""
        weights = self._pace.blocks
        if weights is None:
            yield from [("unet", tuple(self.unet_loras), 1.0)] if self.unet_loras else []
            return
        by_block: dict[int, list[A]] = {}
        for adapter in self.unet_loras:
            by_block.setdefault(self._layers[adapter.lora_name].block or 0, []).append(adapter)
        for block, adapters in sorted(by_block.items()):
            yield f"unet_block{block}", tuple(adapters), weights[block]

    def _take(self, tensors: Mapping[str, Tensor], file: str) -> Loaded:
        own = self.state_dict()
        for name, tensor in tensors.items():
            if name in own and tensor.shape != own[name].shape:
                raise BadFile(self._other_size(name, list(tensor.shape), list(own[name].shape), file))
        alphas = [name for name in tensors if name in own and name.endswith(".alpha") and tensors[name] != own[name]]
        found = self.load_state_dict(tensors, strict=False)
        return Loaded(found.missing_keys, found.unexpected_keys, alphas)

    def _other_size(self, name: str, theirs: list[int], ours: list[int], file: str) -> str:
        """The sentence for a tensor that does not fit."""
        return f"{file} is for another kind of model: {name} has the shape {theirs}, not {ours}."


class LowRankNetwork(AdapterNetwork[LoraAdapter]):
    """LoRA and what is made of its two matrices."""

    def apply_max_norm_regularization(self, max_norm_value: float, device: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Shrinks each adapter whose change is larger than this norm to it.

        Gives how many there were, and the mean and the largest of the norms afterwards; all on the device.
        """
        norms = torch.stack([adapter.norm() for adapter in self._adapters])
        kept, larger = norms.clamp(max=max_norm_value), norms > max_norm_value
        # One that changes nothing yet stays as it is: shrunk to nothing it could never learn.
        for adapter, factor in zip(self._adapters, torch.where(larger, kept / norms, 1.0), strict=True):
            adapter.shrink(factor)
        return larger.sum(), kept.mean(), kept.max()

    def _other_size(self, name: str, theirs: list[int], ours: list[int], file: str) -> str:
        # Of A the first axis is the rank, of B the second.
        rank = 1 if "lora_up" in name else 0
        if not theirs or theirs[:rank] + theirs[rank + 1 :] != ours[:rank] + ours[rank + 1 :]:
            return super()._other_size(name, theirs, ours, file)
        text = f"{file} has rank {theirs[rank]} in {name}, and this network {ours[rank]}"
        return f"{text}: take the file's ranks with --dim_from_weights."


P = TypeVar("P")


def known(plan: Mapping[str, P], adaptable: Adaptable, file: str) -> Mapping[str, P]:
    """A file's plan, all of whose layers the model has. Errors: BadFile."""
    unknown = sorted(set(plan) - {layer.key for layer in adaptable.layers})
    if unknown:
        text = f"{file} is for another kind of model, which has {len(unknown)} layers that this one has not"
        raise BadFile(f"{text}, such as {unknown[0]}. Choose another.")
    return plan
