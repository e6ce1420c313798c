"""Files of embeddings (textual inversion): the vectors of a new word, by text encoder (formats.md, "Embeddings").

One encoder: `emb_params` in .safetensors; in pickles what AUTOMATIC1111's web interface writes. Two: clip_l and clip_g.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import PICKLED, open_checkpoint, read_pickle, write_pickle, write_safetensors

ONE = ("emb_params",)
"""The names of the vectors where a model has one text encoder."""
TWO = ("clip_l", "clip_g")
"""Those of SDXL's two."""


def write_embedding(path: Path, vectors: Mapping[str, Tensor], word: str, metadata: Mapping[str, str]) -> None:
    """Writes {name: vectors_ND}, each name of ONE or TWO, as the file's ending says. Errors: BadFile."""
    held = {name: tensor.detach().to("cpu").clone() for name, tensor in vectors.items()}
    if path.suffix.lower() not in PICKLED:
        write_safetensors(path, held, metadata)
    elif set(held) == set(TWO):
        write_pickle(path, held)
    else:
        write_pickle(path, _for_the_web_interface(held[ONE[0]], word, int(metadata.get("ss_steps", 0))))


def read_embedding(path: str | Path) -> dict[str, Tensor]:
    """{name: vectors_ND} in float32, the names those of ONE or TWO.

    Files of diffusers, whose only name is the word itself, are read too. Errors: BadFile.
    """
    path = Path(path)
    found: dict[str, Any] = _unpacked(path) if path.suffix.lower() in PICKLED else open_checkpoint(path).read()
    if not set(TWO) <= set(found):
        found = {ONE[0]: next(iter(found.values()))} if len(found) == 1 else {}
    vectors = {name: _as_rows(found[name]) for name in (TWO if len(found) > 1 else ONE) if name in found}
    if not vectors or any(tensor is None for tensor in vectors.values()):
        raise BadFile(
            f"{path} is no embedding: it holds neither the vectors of one word nor those of SDXL's two text encoders. "
            "Choose another file."
        )
    return {name: tensor for name, tensor in vectors.items() if tensor is not None}


def _unpacked(path: Path) -> dict[str, Any]:
    loaded = read_pickle(path)
    found = loaded.get("string_to_param", loaded) if isinstance(loaded, dict) else {}
    # What was written from within torch is no plain dictionary.
    found = getattr(found, "parameters", found)
    return found if isinstance(found, dict) else {}


def _as_rows(found: Any) -> Tensor | None:
    """vectors_ND; None for what are no vectors."""
    if not isinstance(found, Tensor) or not found.is_floating_point() or found.ndim not in (1, 2) or not len(found):
        return None
    return torch.atleast_2d(found.detach().float()).clone()


def _for_the_web_interface(vectors_ND: Tensor, word: str, step: int) -> dict[str, Any]:
    return {
        # 265 is the token of "*", which the web interface puts the word in place of.
        "string_to_token": {"*": 265},
        "string_to_param": {"*": vectors_ND},
        "name": word,
        "step": step,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }
