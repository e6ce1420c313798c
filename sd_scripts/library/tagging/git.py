"""GIT: a sentence for every picture; and the removal of the writing that it likes to see everywhere."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoTokenizer, GitForCausalLM
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from sd_scripts.library.tagging.captioner import (
    check_length,
    load_model,
    load_part,
    out_of_memory,
)
from sd_scripts.library.tagging.describer import stacked
from sd_scripts.library.tagging.model_pixels import ModelPixels, pixels_for
from sd_scripts.options.captioning import GitOptions

if TYPE_CHECKING:
    import numpy as np

# What is said to be written: one word, or what stands in quotes. An apostrophe within a word ends no quote; the text's
# end does.
_QUOTED = r"\"[^\"]*(?:\"|$)|'(?:[^']|(?<=\w)'(?=\w))*(?:'|$)"
_WRITING = rf"(?:{_QUOTED}|\w+)"
_PLACE = r"(?:\s+(?:is\s+)?(?:on|in)\s+(?:it\b|(?:the\s+|her\s+|his\s+|their\s+|him\s+)?\w+))?"

# In this order: a longer phrase before the shorter one that it holds.
_PHRASES = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        rf"\b(?:with a sign\s+)?that says\s*(?:the words?\s+)?{_WRITING}{_PLACE}",
        rf"\b(?:has|with|and) the (?:words?|letters?|names?)\s+{_WRITING}{_PLACE}",
        rf"\bwith the numbers?\s+\d+{_PLACE}",
        r"\b(?:with\s+)?(?:(?:the|an?)\s+)?words?\s+\w+\s+on it\b",
    )
)


@dataclass(frozen=True)
class GitParts:
    """A model and what turns pictures and words into its numbers."""

    model: GitForCausalLM
    tokenizer: Any
    processor: CLIPImageProcessorPil


class Git:
    """Writes the likeliest sentence, word by word."""

    fixed_batch_size: int | None = None

    def __init__(self, parts: GitParts, options: GitOptions) -> None:
        self._parts = parts
        # On a GPU, Python has its hands full with asking for one small step after the other.
        self.threads_read = parts.model.device.type == "cpu"
        self._options = options
        check_length(options.max_length, 1, parts.model.config.max_position_embeddings)

    def preparer(self, fast_decode: bool = False) -> ModelPixels:
        """To the model's square, as its own image processor says."""
        return pixels_for(self._parts.processor, fast_decode)

    gather = staticmethod(stacked)

    @torch.inference_mode()
    def describe(self, batch: "np.ndarray", paths: list[Path]) -> list[str]:
        """From (N,C,H,W) to N sentences."""
        model = self._parts.model
        pixels_BCHW = torch.from_numpy(batch).to(model.device)
        try:
            words_BL = model.generate(pixel_values=pixels_BCHW, max_length=self._options.max_length)
        except torch.OutOfMemoryError as error:
            raise out_of_memory() from error
        texts = self._parts.tokenizer.batch_decode(words_BL, skip_special_tokens=True)
        return [without_writing(text) if self._options.remove_words else text.strip() for text in texts]


def load_git(folder: Path) -> GitParts:
    """GIT from a folder saved by transformers. Errors: BadFile."""
    tokenizer, processor = load_part(AutoTokenizer, folder), load_part(CLIPImageProcessorPil, folder)
    return GitParts(load_model(GitForCausalLM, folder), tokenizer, processor)


def without_writing(sentence: str) -> str:
    """A sentence without phrases such as 'with the word "xxx" on it' and 'that says xxx'."""
    for phrase in _PHRASES:
        sentence = phrase.sub(" ", sentence)
    return re.sub(r"\s+([,.])", r"\1", " ".join(sentence.split())).strip(" ,")
