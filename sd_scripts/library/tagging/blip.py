"""BLIP: a sentence for every picture, begun with "a picture of"."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from transformers import BertTokenizer, BlipForConditionalGeneration, LogitsProcessorList, TopPLogitsWarper
from transformers.models.blip.image_processing_pil_blip import BlipImageProcessorPil

from sd_scripts.library.errors import BadOption
from sd_scripts.library.tagging.blip_attention import look, without_waste
from sd_scripts.library.tagging.blip_original import load_original
from sd_scripts.library.tagging.captioner import (
    WordsByPicture,
    check_length,
    load_model,
    load_part,
    out_of_memory,
)
from sd_scripts.library.tagging.describer import stacked
from sd_scripts.library.tagging.model_pixels import ModelPixels, pixels_for
from sd_scripts.options.captioning import BlipOptions

if TYPE_CHECKING:
    import numpy as np

PROMPT = "a picture of "

# Of nucleus sampling alone, as BLIP's authors use it.
REPETITION_PENALTY = 1.1


@dataclass(frozen=True)
class BlipParts:
    """A model and what turns pictures and words into its numbers."""

    model: BlipForConditionalGeneration
    tokenizer: BertTokenizer
    processor: BlipImageProcessorPil


class Blip:
    """Writes sentences by beam search, or draws their words from the likeliest."""

    fixed_batch_size: int | None = None

    def __init__(self, parts: BlipParts, options: BlipOptions) -> None:
        self._parts = parts
        # On a GPU, Python has its hands full with asking for one small step after the other.
        self.threads_read = parts.model.device.type == "cpu"
        self._options = options
        words = parts.model.config.text_config
        # The last token would end the sentence; the first one begins it by a token that BERT does not have.
        self._prompt = parts.tokenizer(PROMPT, return_tensors="pt")["input_ids"][:, :-1]
        self._prompt[:, 0] = words.bos_token_id
        check_length(options.max_length, self._prompt.shape[1], words.max_position_embeddings)
        if options.min_length > options.max_length:
            sentence = f"--min_length {options.min_length} is more than --max_length {options.max_length}."
            raise BadOption("min_length", sentence)

    def preparer(self, fast_decode: bool = False) -> ModelPixels:
        """To the model's square, as its own image processor says."""
        return pixels_for(self._parts.processor, fast_decode)

    gather = staticmethod(stacked)

    @torch.inference_mode()
    def describe(self, batch: "np.ndarray", paths: list[Path]) -> list[str]:
        """From (N,C,H,W) to N sentences without the prompt."""
        model, options = self._parts.model, self._options
        pixels_BCHW = torch.from_numpy(batch).to(model.device)
        prompt_BL = self._prompt.repeat(len(batch), 1).to(model.device)
        how = self._beams() if options.beam_search else self._draw(paths)
        words = model.config.text_config
        try:
            words_BL = model.text_decoder.generate(
                input_ids=prompt_BL,
                attention_mask=torch.ones_like(prompt_BL),
                encoder_hidden_states=look(model, pixels_BCHW),
                eos_token_id=words.sep_token_id,
                pad_token_id=words.pad_token_id,
                do_sample=False,
                max_length=options.max_length,
                min_length=options.min_length,
                **how,
            )
        except torch.OutOfMemoryError as error:
            raise out_of_memory() from error
        new_BL = words_BL[:, self._prompt.shape[1] :]
        return [text.strip() for text in self._parts.tokenizer.batch_decode(new_BL, skip_special_tokens=True)]

    def _beams(self) -> dict[str, Any]:
        return {"num_beams": self._options.num_beams}

    def _draw(self, paths: list[Path]) -> dict[str, Any]:
        words = WordsByPicture(self._options.seed, paths)
        nucleus = LogitsProcessorList([TopPLogitsWarper(self._options.top_p), words])
        return {"logits_processor": nucleus, "repetition_penalty": REPETITION_PENALTY}


def load_blip(path: Path) -> BlipParts:
    """BLIP from a folder saved by transformers, or from the original .pth. Errors: BadOption, BadFile."""
    if path.is_file():
        model, tokenizer, processor = load_original(path)
    else:
        tokenizer, processor = load_part(BertTokenizer, path), load_part(BlipImageProcessorPil, path)
        model = load_model(BlipForConditionalGeneration, path)
    without_waste(model)
    return BlipParts(model, tokenizer, processor)
