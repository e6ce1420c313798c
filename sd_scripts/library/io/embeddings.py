"""Files of embeddings (textual inversion): the vectors of a new word, by text encoder (formats.md, "Embeddings").

One encoder: `emb_params` in .safetensors; in pickles what AUTOMATIC1111's web interface writes. Two: clip_l and clip_g.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import open_checkpoint, read_pickle, write_pickle, write_safetensors
from sd_scripts.library.io.embedding_names import ONE_ENCODER, TWO_ENCODERS, WEB_TABLE
from sd_scripts.library.io.headers import PICKLED
from sd_scripts.library.io.usable import usable


def write_embedding(path: Path, vectors: Mapping[str, Tensor], word: str, metadata: Mapping[str, str]) -> None:
    """Writes {name: vectors_ND}, named as ONE_ENCODER or TWO_ENCODERS says, by the file's ending. Errors: BadFile."""
    held = {name: tensor.detach().to("cpu").clone() for name, tensor in vectors.items()}
    if path.suffix.lower() not in PICKLED:
        write_safetensors(path, held, metadata)
    elif set(held) == set(TWO_ENCODERS):
        write_pickle(path, held)
    else:
        write_pickle(path, _for_the_web_interface(held[ONE_ENCODER[0]], word, int(metadata.get("ss_steps", 0))))


def read_embedding(path: str | Path) -> dict[str, Tensor]:
    """{name: vectors_ND} in float32, the names those of ONE_ENCODER or TWO_ENCODERS.

    Files of diffusers, whose only name is the word itself, are read too. Errors: BadFile.
    """
    path = Path(path)
    found: dict[str, Any] = _unpacked(path) if path.suffix.lower() in PICKLED else open_checkpoint(path).read()
    if not set(TWO_ENCODERS) <= set(found):
        found = {ONE_ENCODER[0]: next(iter(found.values()))} if len(found) == 1 else {}
    vectors = {
        name: _as_rows(found[name]) for name in (TWO_ENCODERS if len(found) > 1 else ONE_ENCODER) if name in found
    }
    if not vectors or any(tensor is None for tensor in vectors.values()):
        raise BadFile(
            f"{path} is no embedding: it holds neither the vectors of one word nor those of SDXL's two text encoders. "
            "Choose another file."
        )
    taken = {name: usable(path, name, tensor) for name, tensor in vectors.items() if tensor is not None}
    counts = [len(tensor) for tensor in taken.values()]
    if len(set(counts)) > 1:
        raise BadFile(
            f"{path} has {counts[0]} vectors for one text encoder and {counts[1]} for the other: a word has as many in "
            "both. Choose another file."
        )
    return taken


def read_fitting(path: str | Path, widths: Mapping[str, int]) -> dict[str, Tensor]:
    """{part: vectors_ND} for the text encoders of a model, whose parts have these widths. Errors: BadFile."""
    found = read_embedding(path)
    if len(found) != len(widths):
        kind = "Stable Diffusion 1 or 2" if len(found) == 1 else "SDXL"
        raise BadFile(f"{path} is an embedding for {kind}, and this model is of another kind. Choose another.")
    vectors = dict(zip(widths, found.values(), strict=True))
    for part, vectors_ND in vectors.items():
        if vectors_ND.shape[1] != widths[part]:
            raise BadFile(
                f"{path} has vectors of {vectors_ND.shape[1]:,} numbers, and this model's have {widths[part]:,}: "
                "it is for another kind of model. Choose another."
            )
    return vectors


def _unpacked(path: Path) -> dict[str, Any]:
    loaded = read_pickle(path)
    found = loaded.get(WEB_TABLE, loaded) if isinstance(loaded, dict) else {}
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
        WEB_TABLE: {"*": vectors_ND},
        "name": word,
        "step": step,
        "sd_checkpoint": None,
        "sd_checkpoint_name": None,
    }
