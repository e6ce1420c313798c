"""What the captioning models share: opening a transformers folder, and drawing words."""

from pathlib import Path
from typing import Any

import torch
from transformers import LogitsProcessor
from transformers.utils import logging

from sd_scripts.library.data.vae_encoder import best_device
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.seeds import derive

# transformers' progress bars and warnings would write across ours.
logging.disable_progress_bar()
logging.set_verbosity_error()


class WordsByPicture(LogitsProcessor):
    """Draws every picture's words from a seed of its own, so they do not depend on the batch that it came in.

    Adding Gumbel noise and taking the largest is drawing by probability ("the Gumbel-max trick",
    Maddison et al. 2014, arXiv:1411.0030): generation itself stays greedy. Names tell pictures apart, so that a picture
    keeps its sentence when others come and go.
    """

    def __init__(self, seed: int, paths: list[Path]) -> None:
        self._generators = [torch.Generator().manual_seed(derive(seed, "caption", path.name)) for path in paths]

    def __call__(self, input_ids: torch.LongTensor, scores: torch.FloatTensor) -> torch.FloatTensor:
        """Scores (N, words) with each picture's noise added."""
        words = scores.shape[-1]
        # -log of an exponential variable is a Gumbel variable; made on the CPU, it is the same for every device.
        noise = torch.stack([-torch.empty(words).exponential_(generator=its).log() for its in self._generators])
        return scores + noise.to(scores)


def load_model(model_class: Any, folder: Path) -> Any:
    """A transformers model, whole. Errors: BadFile, also for missing weights, of which transformers only warns."""
    try:
        model, loading = model_class.from_pretrained(folder, local_files_only=True, output_loading_info=True)
    except Exception as error:  # whatever a broken file makes transformers stumble over
        raise BadFile(f"{folder} is no model that can be opened ({first_line(error)}).") from error
    if loading["missing_keys"] or loading["mismatched_keys"]:
        key = sorted(map(str, loading["missing_keys"] or loading["mismatched_keys"]))[0]
        raise BadFile(f"{folder} is not complete: its weights lack {key}, or have it in another shape.")
    return model.eval().to(best_device())


def load_part(part_class: Any, folder: Path) -> Any:
    """A tokenizer or an image processor. Errors: BadFile."""
    try:
        # Unless told not to, transformers asks whether code that came along is to be run.
        return part_class.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        raise BadFile(f"{folder} has no {part_class.__name__} that can be opened ({first_line(error)}).") from error


def first_line(error: Exception) -> str:
    """What an error of another package says, short enough for a sentence."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def check_length(max_length: int, shortest: int, longest: int) -> None:
    """Raises BadOption for sentences that the model cannot write."""
    if not shortest < max_length <= longest:
        raise BadOption(
            "max_length", f"--max_length {max_length}: this model takes {shortest + 1} to {longest} tokens."
        )


def out_of_memory() -> BadOption:
    """The sentence for a batch that the device has no room for."""
    return BadOption(
        "batch_size", "The device has not enough memory for --batch_size pictures at once. Use a smaller number."
    )
