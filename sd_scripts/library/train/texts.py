"""Captions as the model reads them: tokens where text encoders are trained, their outputs where they are frozen."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol

import torch

from sd_scripts.library.models.family import Family, Tensors, TextSettings
from sd_scripts.library.models.moving import moved

# Outputs kept in memory; beyond that they are made again each time.
CACHE_BYTES = 4 * 2**30


class TextOutputs(Protocol):
    """Outputs of frozen text encoders that are kept elsewhere than in memory."""

    def find(self, caption: str) -> "Tensors | None":
        """Those of a caption, without the dimension of a batch."""


class Texts:
    """Gives the U-Net's arguments for captions. `keep`: outputs of frozen encoders are kept in memory.

    `fixed`: the encoders never change, so what they make of prompts is kept too.
    """

    def __init__(
        self,
        family: Family,
        settings: TextSettings,
        accelerator: Any,
        trained: bool,
        keep: bool,
        *,
        fixed: bool = False,
    ) -> None:
        self.outputs: TextOutputs | None = None
        self.most_bytes = CACHE_BYTES
        self.settings = settings
        # As those who use the model will have theirs read.
        self._prompt_settings = replace(settings, weighted=True, padded=True)
        self._family = family
        self._accelerator = accelerator
        self._trained = trained
        self._keep = keep
        self._fixed = fixed
        self._kept: dict[str, Tensors] = {}
        self._kept_bytes = 0
        self._fetched: dict[str, Tensors] = {}
        self._prompts: dict[str, Tensors] = {}
        self._resting = False

    def arguments(self, captions: Sequence[str]) -> dict[str, Tensors]:
        """Either `tokens`, to be encoded with gradients, or `conditions`, what the encoders make of the captions."""
        if self._trained:
            return {"tokens": self._tokens(captions, self.settings)}
        if not self._keep:
            return {"conditions": self.encode(captions)}
        return {"conditions": self._stacked([self._found_or_made(caption) for caption in captions])}

    def fetch(self, caption: str) -> None:
        """Reads the file of a caption that will soon be asked for, where it has one. Other threads may call it."""
        if found := self._read(caption):
            self._fetched[caption] = found

    def freeze(self) -> None:
        """From now on the encoders are frozen."""
        self._trained = False

    def encode(self, captions: Sequence[str]) -> Tensors:
        """What the encoders make of captions, without gradients."""
        return self._encode(captions, self.settings)

    def encode_prompts(self, prompts: Sequence[str]) -> Tensors:
        """What the encoders make of prompts, in which brackets always are weights, without gradients."""
        if not (self._resting or self._fixed):
            return self._encode(prompts, self._prompt_settings)
        self.keep_prompts(prompts)
        return self._stacked([self._prompts[prompt] for prompt in prompts])

    def keep_prompts(self, prompts: Sequence[str]) -> None:
        """Keeps what the encoders make of prompts, so that they need not come back for them."""
        for prompt in (prompt for prompt in prompts if prompt not in self._prompts):
            self._prompts[prompt] = _first(self._encode([prompt], self._prompt_settings), "cpu")

    def outputs_of(self, caption: str) -> Tensors:
        """Those of one caption, encoded alone: so they do not depend on the batch in which it came first."""
        return self._moved(self._found_or_made(caption))

    def _found_or_made(self, caption: str) -> Tensors:
        """Those of one caption: on the CPU where they are kept, else on the device."""
        if kept := self._kept.get(caption) or self._fetched.pop(caption, None) or self._read(caption):
            return kept
        made = _first(self.encode([caption]))
        size = sum(tensor.numel() * tensor.element_size() for tensor in made.values())
        if self._kept_bytes + size <= self.most_bytes:
            self._kept[caption] = {name: tensor.cpu() for name, tensor in made.items()}
            self._kept_bytes += size
        return made

    def _read(self, caption: str) -> Tensors | None:
        return self.outputs.find(caption) if self.outputs else None

    def rest(self) -> None:
        """Frees the device's memory of the text encoders; they come back for a moment where a text is new."""
        self._resting = True
        self._place_encoders("cpu")
        torch.cuda.empty_cache()

    def _encode(self, texts: Sequence[str], settings: TextSettings) -> Tensors:
        if self._resting:
            self._place_encoders(self._accelerator.device)
        with torch.no_grad(), self._accelerator.autocast():
            made = self._family.encode_text(self._tokens(texts, settings), settings)
        if self._resting:
            self._place_encoders("cpu")
        return {name: tensor.float() for name, tensor in made.items()}

    def _place_encoders(self, device: Any) -> None:
        for module in self._family.text_encoders.values():
            module.to(device)

    def _tokens(self, texts: Sequence[str], settings: TextSettings) -> Tensors:
        return self._moved(self._family.tokenize(texts, settings, settings.weighted))

    def _moved(self, tensors: Tensors) -> Tensors:
        return {name: moved(tensor, self._accelerator.device) for name, tensor in tensors.items()}

    def _stacked(self, several: Sequence[Tensors]) -> Tensors:
        """A batch of them, on the device; what lies on the CPU goes there together."""
        if len({tensor.device for tensors in several for tensor in tensors.values()}) > 1:
            several = [self._moved(tensors) for tensors in several]
        return self._moved({name: torch.stack([tensors[name] for tensors in several]) for name in several[0]})


def _first(tensors: Tensors, device: str | None = None) -> Tensors:
    return {name: tensor[0].to(device) for name, tensor in tensors.items()}
