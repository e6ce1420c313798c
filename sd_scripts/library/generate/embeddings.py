"""Embeddings (textual inversion): read from files, and taught to a model for a while (formats.md, "Embeddings").

Source: Gal et al., "An Image is Worth One Word: Personalizing Text-to-Image Generation using Textual Inversion", 2022.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import Tensor, nn

from sd_scripts.library.errors import BadFile
from sd_scripts.library.generate.kinds import EMBEDDING_TABLE
from sd_scripts.library.io.checkpoints import PICKLED, open_checkpoint, read_pickle

Vectors = list[Tensor]
"""vectors_ND for each text encoder of a model."""


def read_embedding(file: str, widths: Sequence[int]) -> Vectors:
    """The vectors of a file, for text encoders of these widths. Errors: BadFile."""
    path = Path(file)
    if path.suffix.lower() in PICKLED and path.is_file():
        tensors = _pickled(read_pickle(path))
    else:
        tensors = open_checkpoint(path).read()
    found = _by_encoder(tensors, len(widths))
    if not found:
        wanted = "clip_l and clip_g" if len(widths) > 1 else "emb_params"
        raise BadFile(f"{file} is no embedding for this model: it has no {wanted}. Choose another.")
    vectors = [tensor.detach().float().reshape(-1, tensor.shape[-1]) for tensor in found]
    for one, width in zip(vectors, widths, strict=True):
        if one.shape[1] != width:
            sizes = f"its vectors have {one.shape[1]} numbers, and this model's {width}"
            raise BadFile(f"{file} is an embedding for another kind of model: {sizes}.")
    return vectors


@contextmanager
def taught(family: Any, words: Mapping[str, Vectors]) -> Iterator[None]:
    """For a while the model's texts may use these words, each for its vectors."""
    before = family.tokenizers
    encoders = list(family.text_encoders.values())
    tables = [encoder.get_input_embeddings() for encoder in encoders]
    numbers = range(len(tables))
    family.tokenizers = [_Taught(before[one], _ids(words, one, len(tables[one].weight))) for one in numbers]
    for one in numbers:
        rows_ND = [vectors[one].to(tables[one].weight) for vectors in words.values()]
        weight = torch.cat([tables[one].weight.detach(), *rows_ND])
        encoders[one].set_input_embeddings(nn.Embedding.from_pretrained(weight))
    try:
        yield
    finally:
        family.tokenizers = before
        for encoder, table in zip(encoders, tables, strict=True):
            encoder.set_input_embeddings(table)


class _Taught:
    """A tokenizer that knows words besides its own, each of one or several ids. Case does not matter, as for CLIP."""

    def __init__(self, tokenizer: Any, ids: Mapping[str, list[int]]) -> None:
        self._tokenizer = tokenizer
        self._ids = {word.lower(): found for word, found in ids.items()}
        longest_first = sorted(map(re.escape, self._ids), key=len, reverse=True)
        self._words = re.compile(rf"(?<!\w)({'|'.join(longest_first)})(?!\w)", re.IGNORECASE)
        self.backend_tokenizer = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._tokenizer, name)

    def encode_batch(self, texts: Sequence[str], add_special_tokens: bool = False) -> list[SimpleNamespace]:
        """Objects with the `ids` of each text."""
        return [SimpleNamespace(ids=self._encoded(text, add_special_tokens)) for text in texts]

    def _encoded(self, text: str, add_special_tokens: bool) -> list[int]:
        # Every second part is a word that was taught.
        parts = self._words.split(text)
        plain = self._tokenizer.backend_tokenizer.encode_batch(parts[::2], add_special_tokens=add_special_tokens)
        ids = list(plain[0].ids)
        for word, after in zip(parts[1::2], plain[1:], strict=True):
            ids += [*self._ids[word.lower()], *after.ids]
        return ids


def _ids(words: Mapping[str, Vectors], encoder: int, first: int) -> dict[str, list[int]]:
    found = {}
    for word, vectors in words.items():
        found[word] = list(range(first, first + len(vectors[encoder])))
        first += len(vectors[encoder])
    return found


def _pickled(loaded: Any) -> dict[str, Tensor]:
    """The tensors of AUTOMATIC1111's files, which hold a table of them, or of diffusers', which hold one."""
    table = loaded.get(EMBEDDING_TABLE, loaded) if isinstance(loaded, dict) else {}
    return {str(name): value for name, value in table.items() if isinstance(value, Tensor)}


def _by_encoder(tensors: Mapping[str, Tensor], encoders: int) -> list[Tensor]:
    if encoders > 1:
        return [tensors[name] for name in ("clip_l", "clip_g")] if {"clip_l", "clip_g"} <= set(tensors) else []
    if "emb_params" in tensors:
        return [tensors["emb_params"]]
    return list(tensors.values()) if len(tensors) == 1 and "clip_g" not in tensors else []
