"""One forward pass as one module: what accelerate wraps, whatever is trained."""

import torch
from torch import nn

from sd_scripts.library.models.family import Family, Tensors, TextSettings


class Predictor(nn.Module):
    """From noisy latents and texts to the prediction. Holds what is trained, so that its gradients are shared."""

    def __init__(self, family: Family, trained: dict[str, nn.Module], settings: TextSettings) -> None:
        super().__init__()
        self.trained = nn.ModuleDict(trained)
        # In a list, as a module's attribute would register what is frozen too.
        self._family = [family]
        self._settings = settings

    def forward(
        self,
        noisy_BCHW: torch.Tensor,
        timesteps_B: torch.Tensor,
        sizes_B6: torch.Tensor,
        tokens: "Tensors | None" = None,
        conditions: "Tensors | None" = None,
    ) -> torch.Tensor:
        """The prediction; texts come as `conditions`, or as `tokens` to be encoded with gradients."""
        family = self._family[0]
        if conditions is None:
            assert tokens is not None
            conditions = family.encode_text(tokens, self._settings)
        return family.predict(noisy_BCHW, timesteps_B, {**conditions, "sizes_B6": sizes_B6})
