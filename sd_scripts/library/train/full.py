"""Fine-tuning: the whole U-Net is trained, and the text encoder if asked for."""

from pathlib import Path
from typing import Any

from torch import nn

from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.options.fine_tune import FineTuneMethodOptions


class FullFineTune:
    """The method of fine_tune.py."""

    kind = "full"

    def __init__(self, options: FineTuneMethodOptions) -> None:
        self._with_text = options.trains_text_encoder
        self._text_rate = options.learning_rate_te
        self._trained: dict[str, nn.Module] = {}

    def prepare(self, family: Family) -> None:
        """Freezes everything but the U-Net and, if asked for, the text encoder."""
        for module in (family.unet, *family.text_encoders.values(), family.vae):
            module.requires_grad_(False).eval()
        self._trained = {"unet": family.unet, **(family.text_encoders if self._with_text else {})}
        for module in self._trained.values():
            module.requires_grad_(True).train()

    def trained(self) -> dict[str, nn.Module]:
        """The modules that are trained, by the name of their part."""
        return self._trained

    def parameter_groups(self, learning_rate: float) -> list[dict[str, Any]]:
        """One group for each part; the text encoder may have a rate of its own."""
        rates = {"text_encoder": learning_rate if self._text_rate is None else self._text_rate}
        return [
            {"params": list(module.parameters()), "lr": rates.get(name, learning_rate), "name": name}
            for name, module in self._trained.items()
        ]

    def trains_text_encoder(self) -> bool:
        """Whether captions are encoded with gradients."""
        return self._with_text

    def save(self, family: Family, request: SaveRequest) -> Path:
        """Writes the whole model."""
        return family.save(request)
