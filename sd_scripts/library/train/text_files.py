"""What frozen text encoders make of captions, in files beside the pictures: <stem>_te_outputs.npz (formats.md).

SDXL's files hold hidden_state1 and hidden_state2 (L,D) and pool2 (D), as other programs write and read them; those of
other families, <stem>_sd1_te_outputs.npz and so on, hold hidden_state. Beside them stands what they were made from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import torch

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
    places: dict[str, list[Path]] = {}
    for image, caption in captions:
        path = outputs_path(image, suffix)
        if owners.setdefault(path, caption) != caption:
            sentence = f"{image} is shown with two captions, or shares its name with another picture"
            raise BadOption(OPTION, f"--{OPTION}: {sentence}. Use --cache_text_encoder_outputs, which keeps no files.")
        if path not in places.setdefault(caption, []):
            places[caption].append(path)
    return places


@dataclass(frozen=True)
class TextFiles:
    """The files of a training's captions. `trusting`: they are not asked what they were made from."""

    places: dict[str, list[Path]]
    source: TextSource
    names: tuple[str, ...]
    trusting: bool = False

    def missing(self) -> list[tuple[str, Path]]:
        """Captions with a file that is not there, or does not fit."""
        pairs = [(caption, path) for caption, paths in self.places.items() for path in paths]
        return [(caption, path) for caption, path in pairs if self._read(caption, path) is None]

    def find(self, caption: str) -> "Tensors | None":
        """The outputs of a caption, read from its file; None where there is none that fits."""
        paths = self.places.get(caption, [])
        return next((found for path in paths if (found := self._read(caption, path))), None)

    def write(self, caption: str, path: Path, outputs: Tensors) -> None:
        """Writes the outputs of a caption, whole or not at all. Errors: BadFile."""
        import numpy as np

        arrays: dict[str, Any] = {_NAMES[name]: tensor.float().cpu().numpy() for name, tensor in outputs.items()}
        with replacing(path) as beside:
            np.savez(beside, **arrays, **{name: np.array(value) for name, value in self._facts(caption).items()})

    def _read(self, caption: str, path: Path) -> "Tensors | None":
        if not path.is_file():
            return None
        try:
            arrays = read_arrays(path)
            outputs = {name: torch.from_numpy(arrays[_NAMES[name]]).float() for name in self.names}
        except (BrokenLatents, KeyError, TypeError):
            return None
        return outputs if self._fits(outputs) and self._is_of(caption, arrays) else None

    def _fits(self, outputs: Tensors) -> bool:
        """Finite, and as long as this training's texts."""
        length = self.source.max_tokens + 2
        long = all(tensor.ndim == 1 or tensor.shape[0] == length for tensor in outputs.values())
        return long and all(bool(torch.isfinite(tensor).all()) for tensor in outputs.values())

    def _is_of(self, caption: str, arrays: dict[str, Any]) -> bool:
        """What a file does not say, as those of other programs, is not compared."""
        facts = {} if self.trusting else self._facts(caption)
        return all(str(arrays[name]) == str(value) for name, value in facts.items() if name in arrays)

    def _facts(self, caption: str) -> dict[str, Any]:
        return {"caption": caption, **self.source._asdict()}
