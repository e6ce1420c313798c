"""One forward pass as one module: what accelerate wraps, whatever is trained."""

from typing import Any

import torch
from torch import nn

from sd_scripts.library.models.family import Family, TextSettings


class Predictor(nn.Module):
    """From noisy latents and texts to the prediction. Holds what is trained, so that its gradients are shared."""

    def __init__(self, family: Family, trained: dict[str, nn.Module], settings: TextSettings) -> None:
        super().__init__()
        self.trained = nn.ModuleDict(trained)
        # In a list, as a module's attribute would register what is frozen too.
        self._family = [family]
        self._settings = settings

    def forward(self, noisy_BCHW: torch.Tensor, timesteps_B: torch.Tensor, **texts: Any) -> torch.Tensor:
        """The prediction; texts come as hidden_BLD, or as tokens_BL (and weights_BL) to be encoded with gradients."""
        family = self._family[0]
        hidden_BLD = texts.get("hidden_BLD")
        if hidden_BLD is None:
            hidden_BLD = family.encode_text(texts["tokens_BL"], self._settings, texts.get("weights_BL"))
        return family.predict(noisy_BCHW, timesteps_B, hidden_BLD)
