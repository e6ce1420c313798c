"""Captions as the model reads them: tokens where the text encoder is trained, its outputs where it is frozen."""

from collections.abc import Sequence
from typing import Any

import torch

from sd_scripts.library.models.family import Family, TextSettings

# Outputs kept in memory; beyond that they are made again each time.
CACHE_BYTES = 4 * 2**30


class Texts:
    """Gives the U-Net's arguments for captions. `keep`: outputs of a frozen encoder are kept in memory."""

    def __init__(self, family: Family, settings: TextSettings, accelerator: Any, trained: bool, keep: bool) -> None:
        self._family = family
        self.settings = settings
        self._accelerator = accelerator
        self._trained = trained
        self._keep = keep
        self._kept: dict[str, torch.Tensor] = {}
        self._kept_bytes = 0

    def arguments(self, captions: Sequence[str]) -> dict[str, torch.Tensor]:
        """tokens_BL (with weights_BL, where captions have weights), to be encoded with gradients, or hidden_BLD."""
        if self._trained:
            return self._tokens(captions, self.settings.weighted)
        if not self._keep:
            return {"hidden_BLD": self.encode(captions)}
        return {"hidden_BLD": torch.stack([self._hidden(caption) for caption in captions])}

    def encode(self, captions: Sequence[str]) -> torch.Tensor:
        """hidden_BLD without gradients."""
        return self._encode(captions, self.settings.weighted)

    def encode_prompts(self, prompts: Sequence[str]) -> torch.Tensor:
        """hidden_BLD of prompts, in which brackets always are weights, without gradients."""
        return self._encode(prompts, weighted=True)

    def _hidden(self, caption: str) -> torch.Tensor:
        """hidden_LD of one caption, encoded alone: so it does not depend on the batch in which it came first."""
        kept_LD = self._kept.get(caption)
        if kept_LD is not None:
            return kept_LD.to(self._accelerator.device, non_blocking=True)
        hidden_LD = self.encode([caption])[0]
        size = hidden_LD.numel() * hidden_LD.element_size()
        if self._kept_bytes + size <= CACHE_BYTES:
            self._kept[caption] = hidden_LD.cpu()
            self._kept_bytes += size
        return hidden_LD

    def _encode(self, texts: Sequence[str], weighted: bool) -> torch.Tensor:
        with torch.no_grad(), self._accelerator.autocast():
            return self._family.encode_text(settings=self.settings, **self._tokens(texts, weighted)).float()

    def _tokens(self, texts: Sequence[str], weighted: bool) -> dict[str, torch.Tensor]:
        device = self._accelerator.device
        if not weighted:
            return {"tokens_BL": self._family.tokenize(texts, self.settings).to(device)}
        tokens_BL, weights_BL = self._family.tokenize_weighted(texts, self.settings)
        return {"tokens_BL": tokens_BL.to(device), "weights_BL": weights_BL.to(device)}
