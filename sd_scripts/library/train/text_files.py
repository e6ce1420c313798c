"""What frozen text encoders make of captions, in files beside the pictures: <stem>_te_outputs.npz (formats.md).

SDXL's files hold hidden_state1 and hidden_state2 (L,D) and pool2 (D), as other programs write and read them; those of
other families, <stem>_sd1_te_outputs.npz and so on, hold hidden_state. Beside them stands what they were made from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

from sd_scripts.library.data.known_files import KnownFiles, question, stamp_of
from sd_scripts.library.data.latents_head import BROKEN
from sd_scripts.library.data.npz import BrokenLatents, read_arrays
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.models.family import Tensors

_NAMES = {
    "hidden_BLD": "hidden_state",
    "hidden1_BLD": "hidden_state1",
    "hidden2_BLD": "hidden_state2",
    "pooled_BD": "pool2",
}
OPTION = "cache_text_encoder_outputs_to_disk"


class TextSource(NamedTuple):
    """What outputs depend on besides their caption: the encoders' weights, and how they are used."""

    encoders_hash: str
    max_tokens: int
    layer: int
    weighted: bool
    precision: str


def outputs_path(image: Path, suffix: str = "te_outputs") -> Path:
    """The file of a picture; `suffix`: that of the family."""
    return image.with_name(f"{image.stem}_{suffix}.npz")


def places_of(captions: Iterable[tuple[Path, str]], suffix: str = "te_outputs") -> dict[str, list[Path]]:
    """The files of each caption, of pictures with their captions. Errors: BadOption, where two would share a file."""
    owners: dict[Path, str] = {}
    places: dict[str, dict[Path, None]] = {}
    for image, caption in captions:
        path = outputs_path(image, suffix)
        if owners.setdefault(path, caption) != caption:
            sentence = f"{image} is shown with two captions, or shares its name with another picture"
            raise BadOption(OPTION, f"--{OPTION}: {sentence}. Use --cache_text_encoder_outputs, which keeps no files.")
        places.setdefault(caption, {})[path] = None
    return {caption: list(paths) for caption, paths in places.items()}


MISSING = "there are none"
_UNLIKE = {
    "caption": "the caption has changed",
    "precision": "they were made in another precision",
    "encoders_hash": "they come from other text encoders",
    "max_tokens": "they are of another length (max_token_length)",
    "layer": "they are of another layer (clip_skip)",
    "weighted": "brackets in captions counted otherwise (weighted_captions)",
}
"""What of a file's statements is compared, in this order, and what it means when it differs."""


class Lacking(NamedTuple):
    """A file that must be made, and why."""

    caption: str
    path: Path
    reason: str = MISSING


@dataclass(frozen=True)
class TextFiles:
    """The files of a training's captions. `trusting`: they are not asked what they were made from."""

    places: dict[str, list[Path]]
    source: TextSource
    names: tuple[str, ...]
    known: KnownFiles
    trusting: bool = False

    def lacking(self) -> list[Lacking]:
        """The files that are not there, or do not fit. What is known of a file is not read again."""
        pairs = [(caption, path) for caption, paths in self.places.items() for path in paths]
        looked_at = (Lacking(caption, path, self._misfit(caption, path)) for caption, path in pairs)
        return [one for one in looked_at if one.reason]

    def find(self, caption: str) -> "Tensors | None":
        """The outputs of a caption, read from its file; None where there is none that fits."""
        for path in self.places.get(caption, []):
            outputs, misfit = self._read(caption, path)
            if not misfit:
                return outputs
        return None

    def write(self, caption: str, path: Path, outputs: Tensors) -> None:
        """Writes the outputs of a caption, whole or not at all. Errors: BadFile."""
        import numpy as np

        arrays: dict[str, Any] = {_NAMES[name]: tensor.float().cpu().numpy() for name, tensor in outputs.items()}
        with replacing(path) as beside:
            np.savez(beside, **arrays, **{name: np.array(value) for name, value in self._facts(caption).items()})

    def note_written(self, caption: str, path: Path) -> None:
        """Keeps that a file was just made, so that the next run need not read it."""
        self.known.note_written(path, self._question(caption))

    def _misfit(self, caption: str, path: Path) -> str:
        asked = self._question(caption)
        if self.known.answers(path, asked):
            return ""
        try:
            stamp = stamp_of(path)
        except OSError:
            return MISSING
        _, misfit = self._read(caption, path)
        if not misfit:
            self.known.note(path, stamp, asked)
        return misfit

    def _question(self, caption: str) -> str:
        facts = () if self.trusting else tuple(self._facts(caption).items())
        return question("texts", self.names, self.source.max_tokens, facts)

    def _read(self, caption: str, path: Path) -> "tuple[Tensors, str]":
        """The outputs in a file, and why they cannot be used; both empty where there is no file."""
        if not path.is_file():
            return {}, MISSING
        try:
            arrays = read_arrays(path)
            outputs = {name: torch.from_numpy(arrays[_NAMES[name]]).float() for name in self.names}
        except (BrokenLatents, KeyError, TypeError):
            return {}, BROKEN
        return outputs, self._unlike(caption, arrays) or self._unusable(outputs)

    def _unusable(self, outputs: Tensors) -> str:
        """Why outputs cannot be used, whatever they come from."""
        length = self.source.max_tokens + 2
        if any(tensor.ndim > 1 and tensor.shape[0] != length for tensor in outputs.values()):
            return _UNLIKE["max_tokens"]
        return "" if all(bool(torch.isfinite(tensor).all()) for tensor in outputs.values()) else BROKEN

    def _unlike(self, caption: str, arrays: dict[str, Any]) -> str:
        """In what they are others. What a file does not say, as those of other programs, is not compared."""
        facts = {} if self.trusting else self._facts(caption)
        compared = [name for name in _UNLIKE if name in facts and name in arrays]
        return next((_UNLIKE[name] for name in compared if str(arrays[name]) != str(facts[name])), "")

    def _facts(self, caption: str) -> dict[str, Any]:
        return {"caption": caption, **self.source._asdict()}
