"""CLIP's vocabulary out of the bundled file. Needs no torch.

The vocabulary is a file of the MIT-licensed package open_clip_torch 3.3.0; its licence lies beside it.
"""

import functools
import gzip
from pathlib import Path

_VOCABULARY = Path(__file__).parent / "data" / "clip_vocabulary.txt.gz"
_MERGES = 48_894


def vocabulary_and_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """({token: id}, pairs in the order in which they are merged)."""
    lines = gzip.decompress(_VOCABULARY.read_bytes()).decode("utf-8").split("\n")
    merges = [(first, second) for first, second in (line.split() for line in lines[1 : _MERGES + 1])]
    letters = _byte_letters()
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *(first + second for first, second in merges)]
    tokens += ["<|startoftext|>", "<|endoftext|>"]
    return {token: index for index, token in enumerate(tokens)}, merges


def is_ordinary(word: str) -> bool:
    """Whether a word is one of the vocabulary's tokens, as a whole word or as a part of words; case does not count."""
    return not _tokens().isdisjoint((word.lower(), f"{word.lower()}</w>"))


@functools.cache
def _tokens() -> frozenset[str]:
    return frozenset(vocabulary_and_merges()[0])


def _byte_letters() -> list[str]:
    """A printable letter for each of the 256 bytes, in the vocabulary's order: printable bytes first, as themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
