"""LoRA and DoRA: --network_module networks.lora. The functions and names are those by which sd-scripts' trainers know
a network module; modules of others with the same ones can be trained too (library/train/network_module.py)."""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadFile
from sd_scripts.library.models.adaptable import Adaptable, Blocks, Layer
from sd_scripts.library.networks.adapter import DoraAdapter, Dropouts, LoraAdapter
from sd_scripts.library.networks.arguments import LoraArguments, read_lora
from sd_scripts.library.networks.block_rates import block_weights
from sd_scripts.library.networks.files import read_network, write_network
from sd_scripts.library.networks.groups import Groups, Share, parameter_groups
from sd_scripts.library.networks.plan import Plan, check_lengths, plan_asked, plan_of


def check_arguments(given: Mapping[str, Any], blocks: Blocks) -> None:
    """What can be said of --network_args before a model is loaded. Errors: BadOption."""
    asked = read_lora(given)
    check_lengths(asked, blocks)
    block_weights(asked, blocks)


def create_network(
    multiplier: float,
    network_dim: int | None,
    network_alpha: float | None,
    vae: Any,
    text_encoder: Any,
    unet: Any,
    neuron_dropout: float | None = None,
    *,
    adaptable: Adaptable,
    **given: Any,
) -> "LoraNetwork":
    """A network of the size that is asked for. `given`: --network_args as texts. Errors: BadOption."""
    asked = read_lora({"dropout": neuron_dropout} | given)
    plan = plan_asked(adaptable, network_dim, network_alpha, asked)
    return LoraNetwork(adaptable, plan, asked, multiplier)


def create_network_from_weights(
    multiplier: float,
    file: str,
    vae: Any,
    text_encoder: Any,
    unet: Any,
    weights_sd: dict[str, Tensor] | None = None,
    for_inference: bool = False,
    *,
    adaptable: Adaptable,
    **given: Any,
) -> "tuple[LoraNetwork, dict[str, Tensor]]":
    """A network of a file's size, and the file's tensors, which are not in it yet. Errors: BadFile, BadOption."""
    tensors = read_network(file) if weights_sd is None else weights_sd
    asked = read_lora(given | {"dora_wd": any(name.endswith(".dora_scale") for name in tensors)})
    return LoraNetwork(adaptable, _known(plan_of(tensors), adaptable, file), asked, multiplier), tensors


class Loaded(NamedTuple):
    """How a file fits a network: what the file lacks, what the network has no place for, where the alphas differ."""

    missing_keys: list[str]
    unexpected_keys: list[str]
    other_alphas: list[str]


class LoraNetwork(nn.Module):
    """The adapters of a model. state_dict() has the tensors of its file, under their names there."""

    def __init__(self, adaptable: Adaptable, plan: Plan, asked: LoraArguments, multiplier: float = 1.0) -> None:
        super().__init__()
        self._asked = asked
        self._block_weights = block_weights(asked, adaptable.blocks)
        self._layers: dict[str, Layer] = {layer.key: layer for layer in adaptable.layers}
        self._text_parts = dict.fromkeys(layer.part for layer in adaptable.layers if layer.part != "unet")
        dropouts = Dropouts(asked.dropout or 0.0, asked.rank_dropout or 0.0, asked.module_dropout or 0.0)
        kind = DoraAdapter if asked.dora_wd else LoraAdapter
        made = [kind(layer, plan[layer.key], dropouts) for layer in adaptable.layers if layer.key in plan]
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
        return self._take(read_network(file), file)

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
        asked = self._asked
        unet_rate = default_lr if unet_lr is None else unet_lr
        unet_ratio = asked.loraplus_unet_lr_ratio or asked.loraplus_lr_ratio
        text_ratio = asked.loraplus_text_encoder_lr_ratio or asked.loraplus_lr_ratio
        shares = [
            Share(name, adapters, unet_rate * weight, unet_ratio) for name, adapters, weight in self._unet_shares()
        ]
        rates = text_encoder_lr or [default_lr]
        by_part = self._by_part(self.text_encoder_loras)
        for number, part in enumerate(self._text_parts):
            rate = rates[min(number, len(rates) - 1)]
            shares.extend([Share(part, by_part[part], rate, text_ratio)] if part in by_part else [])
        return parameter_groups(shares)

    def prepare_grad_etc(self, text_encoder: Any, unet: Any) -> None:
        """All of it is trained."""
        self.requires_grad_(True)

    def apply_max_norm_regularization(self, max_norm_value: float, device: Any) -> tuple[Tensor, Tensor, Tensor]:
        """Shrinks each adapter whose change is larger than this norm to it.

        Gives how many there were, and the mean and the largest of the norms afterwards; all on the device.
        """
        norms = torch.stack([adapter.norm() for adapter in self._adapters])
        kept = norms.clamp(max=max_norm_value)
        for adapter, factor in zip(self._adapters, kept / norms.clamp(min=1e-12), strict=True):
            adapter.shrink(torch.where(factor < 1, factor, 1.0))
        return (norms > max_norm_value).sum(), kept.mean(), kept.max()

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
    def _adapters(self) -> list[LoraAdapter]:
        return [*self.unet_loras, *self.text_encoder_loras]

    def _part(self, adapter: LoraAdapter) -> str:
        return self._layers[adapter.lora_name].part

    def _by_part(self, adapters: list[LoraAdapter]) -> dict[str, tuple[LoraAdapter, ...]]:
        parts = dict.fromkeys(map(self._part, adapters))
        return {part: tuple(one for one in adapters if self._part(one) == part) for part in parts}

    def _unet_shares(self) -> Iterator[tuple[str, tuple[LoraAdapter, ...], float]]:
        """Name, adapters and weight of what has one rate in the U-Net: its blocks, where these have weights."""
        weights = self._block_weights
        if weights is None:
            yield from [("unet", tuple(self.unet_loras), 1.0)] if self.unet_loras else []
            return
        by_block: dict[int, list[LoraAdapter]] = {}
        for adapter in self.unet_loras:
            by_block.setdefault(self._layers[adapter.lora_name].block or 0, []).append(adapter)
        for block, adapters in sorted(by_block.items()):
            yield f"unet_block{block}", tuple(adapters), weights[block]

    def _take(self, tensors: Mapping[str, Tensor], file: str) -> Loaded:
        own = self.state_dict()
        _check_sizes({name: tensor for name, tensor in tensors.items() if name in own}, own, file)
        alphas = [name for name in tensors if name in own and name.endswith(".alpha") and tensors[name] != own[name]]
        found = self.load_state_dict(tensors, strict=False)
        return Loaded(found.missing_keys, found.unexpected_keys, alphas)


def _check_sizes(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor], file: str) -> None:
    for name, tensor in tensors.items():
        if tensor.shape == own[name].shape:
            continue
        # Of A the first axis is the rank, of B the second.
        rank = 1 if "lora_up" in name else 0
        theirs, ours = list(tensor.shape), list(own[name].shape)
        if not theirs or theirs[:rank] + theirs[rank + 1 :] != ours[:rank] + ours[rank + 1 :]:
            raise BadFile(f"{file} is for another kind of model: {name} has the shape {theirs}, not {ours}.")
        text = f"{file} has rank {theirs[rank]} in {name}, and this network {ours[rank]}"
        raise BadFile(f"{text}: take the file's ranks with --dim_from_weights.")


def _known(plan: Plan, adaptable: Adaptable, file: str) -> Plan:
    unknown = sorted(set(plan) - {layer.key for layer in adaptable.layers})
    if unknown:
        text = f"{file} is for another kind of model, which has {len(unknown)} layers that this one has not"
        raise BadFile(f"{text}, such as {unknown[0]}. Choose another.")
    return plan
