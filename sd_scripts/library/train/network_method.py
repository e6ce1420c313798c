"""Training a network: adapters of a model whose own weights stay."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.io.drafts import Draft
from sd_scripts.library.models.adaptable import Blocks
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.networks.arguments import split_words
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.beside import ANEW, file_of, freeze, small_draft, spec_of
from sd_scripts.library.train.device import training_device
from sd_scripts.library.train.method import Holding
from sd_scripts.library.train.movement import spoken_part
from sd_scripts.library.train.network_module import (
    Network,
    adapters_by_part,
    create,
    open_network_module,
    text_encoders_of,
)
from sd_scripts.library.train.network_rules import adapts_unet
from sd_scripts.library.train.packed import check_packing
from sd_scripts.library.train.precision import weights_dtype
from sd_scripts.options.trainer import NetworkTrainerOptions

Groups = list[dict[str, Any]]

# What programs need of a header to use a network; --no_metadata leaves out the rest of ss_*.
_NEEDED_KEYS = (
    "ss_v2", "ss_base_model_version", "ss_network_module", "ss_network_dim", "ss_network_alpha", "ss_network_args",
)  # fmt: skip


class NetworkMethod:
    """The method of train_network.py and sdxl_train_network.py, for every network module."""

    network: Network
    large = False
    must_move = True

    def __init__(self, options: NetworkTrainerOptions, report: Report) -> None:
        self._options = options
        self._report = report
        self._module = open_network_module(options.network.network_module)
        self._arguments = split_words(options.network.network_args)
        self._trained: dict[str, nn.Module] = {}
        self.kind = options.network.network_module or ""
        base = options.base
        self.begun_from = options.network.network_weights
        self.holding = Holding(False, base.fp8_base_unet, base.cpu_offload_checkpointing, base.base_bits)

    def check(self, blocks: Blocks) -> None:
        """What device and module say of the options before a model is loaded. Errors: BadOption."""
        check_packing(self._options.base.base_bits, training_device())
        module: Any = self._module
        asked = self._options.network
        if hasattr(module, "check_arguments"):
            given = {"dropout": asked.network_dropout} | self._arguments
            module.check_arguments(given, blocks, asked.network_dim, asked.network_alpha)

    def prepare(self, family: Family, seed: int) -> None:
        """Freezes the model, merges what is to be merged into it, and adds the network. Errors: BadOption, BadFile."""
        freeze(family)
        self._merge_base(family)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "network"))
            self.network = self._made(family)
        self._apply(family)
        if self._options.network.network_weights:
            self._load(self._options.network.network_weights)
        self.network.to(weights_dtype(self._options.precision))
        self._trained = {part: _by_name(adapters) for part, adapters in self._parts().items() if adapters}

    def trained(self) -> dict[str, nn.Module]:
        """The adapters by the part of the model that they are in."""
        return self._trained

    def parameter_groups(self, learning_rate: float) -> Groups:
        """The network's own groups."""
        rates = self._options.rates
        text_rates = rates.text_encoder_lr or None
        first = next((rate for rate in text_rates or [] if rate), None)
        network: Any = self.network
        if hasattr(network, "prepare_optimizer_params_with_multiple_te_lrs"):
            made = network.prepare_optimizer_params_with_multiple_te_lrs(text_rates, rates.unet_lr, learning_rate)
        else:
            made = network.prepare_optimizer_params(first, rates.unet_lr, learning_rate)
        return _named_groups(made, learning_rate)

    def trains_text_encoder(self) -> bool:
        """Whether captions are encoded with gradients."""
        return bool(self.network.text_encoder_loras)

    def use_strength(self, strength: float) -> None:
        """How strongly the network changes the model. Errors: BadOption, where its module knows of no strength."""
        network: Any = self.network
        if not hasattr(network, "set_multiplier"):
            raise BadOption("dataset_config", f"network_multiplier: {self.kind} has no set_multiplier. Leave it out.")
        network.set_multiplier(strength)

    def after_step(self) -> dict[str, torch.Tensor]:
        """Scales down what has grown too large, and gives the figures of that."""
        largest = self._options.rates.scale_weight_norms
        network: Any = self.network
        if not largest or not hasattr(network, "apply_max_norm_regularization"):
            return {}
        device = next(next(iter(self._trained.values())).parameters()).device
        figures = network.apply_max_norm_regularization(largest, device)
        names = ("max_norm/keys_scaled", "max_norm/avg_key_norm", "max_norm/max_key_norm")
        return {name: torch.as_tensor(figure) for name, figure in zip(names, figures, strict=True)}

    def draft(self, family: Family, request: SaveRequest) -> Draft:
        """What `save` writes."""
        return small_draft(self.save, family, request)

    def save(self, family: Family, request: SaveRequest) -> Path:
        """Writes the network. Errors: BadFile."""
        path = file_of(request)
        metadata = self._metadata(family, request)
        with replacing(path) as beside:
            self.network.save_weights(str(beside), request.dtype, metadata)
        return path

    def _made(self, family: Family) -> Network:
        asked = self._options.network
        given: dict[str, Any] = {"dropout": asked.network_dropout} | self._arguments
        if asked.dim_from_weights:
            made, _ = self._from_file(family, 1.0, asked.network_weights or "", **given)
            return made
        sizes = (1.0, asked.network_dim, asked.network_alpha)
        given["neuron_dropout"] = asked.network_dropout
        return create(self._module.create_network, sizes, family, given)

    def _apply(self, family: Family) -> None:
        network: Any = self.network
        asked = self._options.trained_texts
        texts = adapters_by_part(network.text_encoder_loras, self._options.text_parts)
        network.text_encoder_loras = [adapter for part in asked for adapter in texts[part]]
        network.apply_to(text_encoders_of(family), family.unet, bool(asked), adapts_unet(self._options.rates))
        if not (network.unet_loras or network.text_encoder_loras):
            sentence = "nothing of the model is adapted. Check --network_args, and which parts are left out"
            raise BadOption("network_module", f"--network_module {self.kind}: {sentence}.")
        network.requires_grad_(True)
        if hasattr(network, "prepare_grad_etc"):
            network.prepare_grad_etc(text_encoders_of(family), family.unet)
        # Layers that are recomputed are so in training mode only.
        parts = self._parts()
        for part, module in {"unet": family.unet, **family.text_encoders}.items():
            module.train(bool(parts[part]))
        counts = ", ".join(f"{len(adapters)} layers of {_named(part)}" for part, adapters in parts.items())
        self._report.say(f"The network adapts {counts}.")

    def _parts(self) -> dict[str, list[Any]]:
        """The adapters by the parts of the model that they are in."""
        texts = adapters_by_part(self.network.text_encoder_loras, self._options.text_parts)
        return {"unet": self.network.unet_loras, **texts}

    def _merge_base(self, family: Family) -> None:
        base = self._options.base
        files = base.base_weights or []
        strengths = base.base_weights_multiplier or [1.0] * len(files)
        for file, strength in zip(files, strengths, strict=True):
            network, tensors = self._from_file(family, strength, file, for_inference=True)
            held = next(family.unet.parameters())
            network.merge_to(text_encoders_of(family), family.unet, tensors, held.dtype, held.device)
            self._report.say(f"Merged {file} into the base model, times {strength:g}.")

    def _from_file(self, family: Family, strength: float, file: str, **given: Any) -> Any:
        return create(self._module.create_network_from_weights, (strength, file), family, given)

    def _load(self, file: str) -> None:
        found = self.network.load_weights(file)
        new, left_out = (
            sorted({name.split(".")[0] for name in getattr(found, kind, [])})
            for kind in ("missing_keys", "unexpected_keys")
        )
        self._report.say(f"Going on from {file}.")
        if not self._options.state.source:
            self._report.say(ANEW)
        if new:
            text = f"{file} lacks {len(new)} of the adapted layers, such as {new[0]}: they begin anew."
            self._report.notice(text, "warning")
        if left_out:
            text = f"{file} has {len(left_out)} layers that are not adapted now, such as {left_out[0]}"
            self._report.notice(f"{text}: they are left out. --dim_from_weights takes them.", "warning")
        if getattr(found, "other_alphas", []):
            self._report.notice(f"{file} was trained with another alpha: its own stays.", "warning")

    def _metadata(self, family: Family, request: SaveRequest) -> dict[str, str]:
        own = {"ss_network_args": json.dumps(self._arguments)} if self._arguments else {}
        facts = spec_of(family, request, "lora") | own | self._sizes()
        facts["modelspec.implementation"] = "diffusers"
        if not self._options.header.no_metadata:
            return facts
        return {key: text for key, text in facts.items() if not key.startswith("ss_") or key in _NEEDED_KEYS}

    def _sizes(self) -> dict[str, str]:
        """Rank and alpha as they are, where the options do not tell."""
        asked, told = self._options.network, {}
        if asked.dim_from_weights or asked.network_dim is None:
            told["ss_network_dim"] = _common(getattr(self.network, "ranks", set()))
        if asked.network_weights or asked.network_alpha == 0:
            told["ss_network_alpha"] = _common(getattr(self.network, "alphas", set()))
        return {key: text for key, text in told.items() if text}


def _named(part: str) -> str:
    """A part in words; of several text encoders the number is its name."""
    return {"unet": "the U-Net", "text_encoder": "the text encoder"}.get(part, spoken_part(part))


def _common(numbers: set[Any]) -> str:
    """The number that all have; "Dynamic", as sd-scripts says, where there are several; "" where there is none."""
    return str(*numbers) if len(numbers) < 2 else "Dynamic"


def _by_name(adapters: list[Any]) -> nn.Module:
    return nn.ModuleDict({adapter.lora_name: adapter for adapter in adapters})


def _named_groups(made: Any, learning_rate: float) -> Groups:
    """A module's groups, each with its rate and a name, which other modules give as a second list or not at all."""
    groups, names = made if isinstance(made, tuple) else (made, None)
    named = []
    for number, group in enumerate(groups):
        name = group.get("name") or (names[number].replace(" ", "_") if names else f"group{number}")
        named.append({"lr": learning_rate, **group, "params": list(group["params"]), "name": name})
    return named
