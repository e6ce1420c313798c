"""CLIP's tokenizer out of the bundled vocabulary, with no hub; tokens of long texts in chunks of 75."""

import functools
import json
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.models.clip_vocabulary import BEGIN, END, WORD_END, vocabulary_and_merges
from sd_scripts.library.models.prompt_weights import Piece, weighted_pieces

CHUNK = 75
"""Tokens that the text encoder reads at a time, between a begin and an end token."""


def clip_tokenizer(pad_token: str) -> Any:
    """A transformers CLIPTokenizer of the 49,408 tokens that all text encoders share."""
    from transformers import CLIPTokenizer

    model = _pairs_of_bytes()
    # Made of the tokens that stand for themselves, it takes the vocabulary that is there: one of them in memory.
    own = {token: model.token_to_id(token) for token in (BEGIN, END, pad_token)}
    tokenizer = CLIPTokenizer(vocab=own, pad_token=pad_token, model_max_length=CHUNK + 2)
    tokenizer.backend_tokenizer.model = model
    return tokenizer


@functools.cache
def _pairs_of_bytes() -> Any:
    """The vocabulary as tokenizers hold it. It stays as it is, whoever uses it."""
    from tokenizers.models import BPE

    vocabulary, merges = vocabulary_and_merges()
    return BPE(vocabulary, merges, continuing_subword_prefix="", end_of_word_suffix=WORD_END, unk_token=END)


def write_tokenizer(tokenizer: Any, folder: Path) -> None:
    """A tokenizer folder that every version of transformers reads: vocab.json and merges.txt beside today's files."""
    try:
        tokenizer.save_pretrained(folder)
    except Exception as error:  # Its writer has no other kind, and names the system's error in words.
        number = re.search(r"\(os error (\d+)\)", str(error))
        raise (OSError(int(number[1]), os.strerror(int(number[1]))) if number else error) from error
    model = json.loads(tokenizer.backend_tokenizer.to_str())["model"]
    (folder / "vocab.json").write_text(json.dumps(model["vocab"], ensure_ascii=False), encoding="utf-8")
    pairs = (pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"])
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *pairs, ""]), encoding="utf-8")


def token_ids(tokenizer: Any, texts: Sequence[str]) -> list[list[int]]:
    """The tokens of each text without begin and end, before anything is cut off."""
    # The backend knows of no longest text, so it neither cuts nor warns.
    found = tokenizer.backend_tokenizer.encode_batch(list(texts), add_special_tokens=False)
    return [encoding.ids for encoding in found]


def count_tokens(tokenizer: Any, text: str) -> int:
    """Tokens of a text without begin and end, before anything is cut off."""
    return len(token_ids(tokenizer, [text])[0])


def count_weighted_tokens(tokenizer: Any, text: str) -> int:
    """Tokens of a text whose weights are signs, not text."""
    return len(_encode_pieces(tokenizer, weighted_pieces(text))[0])


def tokenize(tokenizer: Any, texts: Sequence[str], max_tokens: int, pad_id: int) -> Tensor:
    """tokens_BL, L = max_tokens + 2: begin, the text's tokens as far as they fit, end, padding."""
    rows = [_framed(tokenizer, ids, max_tokens, pad_id) for ids in token_ids(tokenizer, texts)]
    return torch.tensor(rows, dtype=torch.long)


def tokenize_weighted(tokenizer: Any, texts: Sequence[str], max_tokens: int, pad_id: int) -> tuple[Tensor, Tensor]:
    """tokens_BL as of `tokenize`, and weights_BL: 1.0 for begin, end and padding."""
    read = [_encode_pieces(tokenizer, weighted_pieces(text)) for text in texts]
    tokens = [_framed(tokenizer, ids, max_tokens, pad_id) for ids, _ in read]
    weights = [[1.0, *row[:max_tokens], *[1.0] * (max_tokens + 1 - len(row[:max_tokens]))] for _, row in read]
    return torch.tensor(tokens, dtype=torch.long), torch.tensor(weights)


def without_padding(tokens_BL: Tensor, end_id: int) -> Tensor:
    """The tokens as far as the longest text goes: to its first end token."""
    return tokens_BL[:, : int((tokens_BL == end_id).int().argmax(dim=1).max()) + 1]


def to_chunks(tokens_BL: Tensor, end_id: int, pad_id: int) -> Tensor:
    """tokens_BNC, C = 77: each of the N pieces of 75 tokens between a begin token and the last id (formats.md).

    What is no longer than one of them stays as it is.
    """
    batch, length = tokens_BL.shape
    if length <= CHUNK + 2:
        return tokens_BL[:, None]
    middle_BNC = tokens_BL[:, 1:-1].reshape(batch, (length - 2) // CHUNK, CHUNK)
    first_BN1 = tokens_BL[:, None, :1].expand(-1, middle_BNC.shape[1], -1)
    last_BN1 = tokens_BL[:, None, -1:].expand(-1, middle_BNC.shape[1], -1)
    chunks_BNC = torch.cat([first_BN1, middle_BNC, last_BN1], dim=2)
    if pad_id != end_id:
        # A full chunk ends in the end token, an empty one begins with it: padding by itself ends nothing.
        before_last_BN = chunks_BNC[:, :, -2]
        full_BN = (before_last_BN != end_id) & (before_last_BN != pad_id)
        chunks_BNC[:, :, -1] = chunks_BNC[:, :, -1].masked_fill(full_BN, end_id)
        empty_BN = chunks_BNC[:, :, 1] == pad_id
        chunks_BNC[:, :, 1] = chunks_BNC[:, :, 1].masked_fill(empty_BN, end_id)
    return chunks_BNC


def from_chunks(hidden_BNCD: Tensor) -> Tensor:
    """hidden_BLD of all chunks in a row: the first position, each chunk's 75, the last position of the last chunk."""
    middle_BLD = hidden_BNCD[:, :, 1:-1].flatten(1, 2)
    return torch.cat([hidden_BNCD[:, 0, :1], middle_BLD, hidden_BNCD[:, -1, -1:]], dim=1)


def _framed(tokenizer: Any, ids: list[int], max_tokens: int, pad_id: int) -> list[int]:
    """Begin, the tokens as far as they fit, end, padding."""
    row = [tokenizer.bos_token_id, *ids[:max_tokens], tokenizer.eos_token_id]
    return row + [pad_id] * (max_tokens + 2 - len(row))


def _encode_pieces(tokenizer: Any, pieces: list[Piece]) -> tuple[list[int], list[float]]:
    """The tokens of all pieces in a row, and the weight of each."""
    rows = token_ids(tokenizer, [piece.text for piece in pieces])
    weights = [piece.weight for piece, row in zip(pieces, rows, strict=True) for _ in row]
    return [token for row in rows for token in row], weights
