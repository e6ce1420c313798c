"""Words that texts get beside the vocabulary's: where they stand, and by which tokens. Needs no torch."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

_LETTER = "[a-z0-9]"


@dataclass(frozen=True)
class NewWord:
    """A word that stands for `count` tokens in a row, each with a vector of its own. Case does not count."""

    text: str
    count: int = 1

    @property
    def pattern(self) -> str:
        """A regular expression: the word, but not as a part of another. Letters beyond a to z end a word, as Japanese
        has no spaces."""
        text = self.text.lower()
        before = f"(?<!{_LETTER})" if re.match(_LETTER, text) else ""
        after = f"(?!{_LETTER})" if re.match(_LETTER, text[-1:]) else ""
        return f"{before}{re.escape(text)}{after}"

    def is_in(self, text: str) -> bool:
        """Whether a text has the word."""
        return re.search(self.pattern, text, re.IGNORECASE) is not None


class TaughtTokenizer:
    """A tokenizer that knows words besides its own: what clip_tokenizer.py asks of a tokenizer, with ids for them."""

    def __init__(self, tokenizer: Any, words: Sequence[tuple[NewWord, list[int]]]) -> None:
        self.known = tokenizer
        self.words = words
        self.backend_tokenizer = self
        self.bos_token_id, self.eos_token_id = tokenizer.bos_token_id, tokenizer.eos_token_id
        self.convert_tokens_to_ids = tokenizer.convert_tokens_to_ids
        # Of words that are spelt the same, the last one counts.
        self._ids = {word.text.lower(): ids for word, ids in words}
        longest_first = sorted((word for word, _ in words), key=lambda word: len(word.text), reverse=True)
        self._words = re.compile(f"({'|'.join(word.pattern for word in longest_first)})", re.IGNORECASE)

    def __len__(self) -> int:
        return len(self.known) + sum(len(ids) for _, ids in self.words)

    def encode_batch(self, texts: Sequence[str], add_special_tokens: bool = False) -> list[SimpleNamespace]:
        """Objects with the `ids` of each text."""
        return [SimpleNamespace(ids=self._encoded(text, add_special_tokens)) for text in texts]

    def _encoded(self, text: str, add_special_tokens: bool) -> list[int]:
        # Every second part is a new word.
        parts = self._words.split(text)
        plain = self.known.backend_tokenizer.encode_batch(parts[::2], add_special_tokens=add_special_tokens)
        ids = list(plain[0].ids)
        for word, after in zip(parts[1::2], plain[1:], strict=True):
            ids += [*self._ids[word.lower()], *after.ids]
        return ids


def taught(tokenizer: Any, word: NewWord, ids: list[int]) -> TaughtTokenizer:
    """A tokenizer that knows a word more; the one that is given stays as it is."""
    if isinstance(tokenizer, TaughtTokenizer):
        return TaughtTokenizer(tokenizer.known, [*tokenizer.words, (word, ids)])
    return TaughtTokenizer(tokenizer, [(word, ids)])
