"""Training a hypernetwork: the model stays, and what its attention reads is changed."""

from pathlib import Path, PurePath
from typing import Any

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.drafts import Draft
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.networks.hypernetwork import Hypernetwork, attach, context_widths
from sd_scripts.library.networks.hypernetwork_file import load_hypernetwork, save_hypernetwork
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.beside import ANEW, file_of, freeze, small_draft, spec_of
from sd_scripts.library.train.hypernetwork_rules import asked_shape
from sd_scripts.library.train.method import Holding
from sd_scripts.library.train.precision import weights_dtype
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions


class HypernetworkMethod:
    """The method of train_hypernetwork.py."""

    hypernetwork: Hypernetwork
    kind = "hypernetwork"
    holding = Holding(exact=False)
    large = False
    must_move = True

    def __init__(self, options: TrainHypernetworkOptions, report: Report) -> None:
        """Reads the file to go on from, where one is named. Errors: BadFile."""
        self._options = options
        self._report = report
        self.begun_from = file = options.hypernetwork.hypernetwork_weights
        self._earlier = load_hypernetwork(file) if file else None

    def prepare(self, family: Family, seed: int) -> None:
        """Freezes the model and attaches the hypernetwork. Errors: BadOption, BadFile."""
        freeze(family)
        # Layers that are recomputed are so in training mode only.
        family.unet.train()
        self.hypernetwork = self._earlier or self._made(family, seed)
        self._earlier_steps = self.hypernetwork.step
        self.hypernetwork.to(weights_dtype(self._options.precision)).requires_grad_(True).train()
        attach(self.hypernetwork, family.unet, self._options.hypernetwork.hypernetwork_strength)
        self._say_begun()

    def trained(self) -> dict[str, nn.Module]:
        """The modules of each width, as a part of its own."""
        return {f"width_{width}": self.hypernetwork.pair(width) for width in self.hypernetwork.widths}

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """One group."""
        return [{"params": list(self.hypernetwork.parameters()), "lr": learning_rate, "name": self.kind}]

    def trains_text_encoder(self) -> bool:
        """Text encoders stay."""
        return False

    def use_strength(self, strength: float) -> None:
        """Its own strength stays: network_multiplier is refused."""

    def after_step(self) -> dict[str, Tensor]:
        """Nothing is done to the weights beside the step."""
        return {}

    def draft(self, family: Family, request: SaveRequest) -> Draft:
        """What `save` writes."""
        return small_draft(self.save, family, request)

    def save(self, family: Family, request: SaveRequest) -> Path:
        """Writes the hypernetwork. Errors: BadFile."""
        path = file_of(request)
        told = request.metadata
        self.hypernetwork.name = request.path.name
        self.hypernetwork.step = self._earlier_steps + int(told["ss_steps"])
        origin = {
            "sd_checkpoint": told.get("ss_new_sd_model_hash", "")[:10] or None,
            "sd_checkpoint_name": PurePath(told["ss_sd_model_name"]).stem,
        }
        save_hypernetwork(path, self.hypernetwork, origin, request.dtype, self._metadata(family, request))
        return path

    def _made(self, family: Family, seed: int) -> Hypernetwork:
        there = context_widths(family.unet)
        widths = self._options.hypernetwork.enable_sizes or there
        foreign = [width for width in widths if width not in there]
        if foreign:
            sentence = f"this model has no such width. It has {', '.join(str(width) for width in there)}."
            raise BadOption("enable_sizes", f"--enable_sizes {foreign[0]}: {sentence}")
        made = Hypernetwork(widths, asked_shape(self._options.hypernetwork))
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive(seed, "network"))
            made.draw()
        return made

    def _say_begun(self) -> None:
        if self._earlier:
            file = self._options.hypernetwork.hypernetwork_weights
            self._report.say(f"Going on from {file}, trained for {self._earlier_steps:,} steps.")
            if not self._options.state.source:
                self._report.say(ANEW)
        widths = ", ".join(str(width) for width in self.hypernetwork.widths)
        self._report.say(f"The hypernetwork changes what attention reads at the widths {widths}.")

    def _metadata(self, family: Family, request: SaveRequest) -> dict[str, str]:
        facts = spec_of(family, request, "hypernetwork")
        if not self._options.header.no_metadata:
            return facts
        return {key: text for key, text in facts.items() if not key.startswith("ss_")}
