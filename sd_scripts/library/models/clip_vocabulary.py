"""CLIP's vocabulary out of the bundled file. Needs no torch.

The vocabulary is a file of the MIT-licensed package open_clip_torch 3.3.0; its licence lies beside it.
"""

import functools
import gzip
import itertools
from pathlib import Path

_VOCABULARY = Path(__file__).parent / "data" / "clip_vocabulary.txt.gz"
_MERGES = 48_894
BEGIN, END, WORD_END = "<|startoftext|>", "<|endoftext|>", "</w>"


def vocabulary_and_merges() -> tuple[dict[str, int], list[tuple[str, str]]]:
    """({token: id}, pairs in the order in which they are merged)."""
    with gzip.open(_VOCABULARY, "rt", encoding="utf-8", newline="\n") as file:
        words = "".join(itertools.islice(file, 1, _MERGES + 1)).split()
    merges = list(zip(words[::2], words[1::2], strict=True))
    letters = _byte_letters()
    tokens = [*letters, *(letter + WORD_END for letter in letters), *map("".join, merges), BEGIN, END]
    return {token: index for index, token in enumerate(tokens)}, merges


def is_ordinary(word: str) -> bool:
    """Whether a word is one of the vocabulary's tokens, as a whole word or as a part of words; case does not count."""
    return not _tokens().isdisjoint((word.lower(), word.lower() + WORD_END))


@functools.cache
def _tokens() -> frozenset[str]:
    return frozenset(vocabulary_and_merges()[0])


def _byte_letters() -> list[str]:
    """A printable letter for each of the 256 bytes, in the vocabulary's order: printable bytes first, as themselves."""
    printable = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    return [chr(byte) for byte in printable] + [chr(256 + index) for index in range(256 - len(printable))]
