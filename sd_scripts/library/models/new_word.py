"""A word that texts get beside the vocabulary's: how it is spelt in tokens. Needs no torch."""

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class NewWord:
    """A word that stands for `count` tokens in a row, each with a vector of its own. Case does not count."""

    text: str
    count: int = 1

    @property
    def tokens(self) -> list[str]:
        """word, word1, word2, ... as sd-scripts names them."""
        return [self.text, *(f"{self.text}{number}" for number in range(1, self.count))]

    def is_in(self, text: str) -> bool:
        """Whether a text has the word, be it as a part of another."""
        return self.text.lower() in text.lower()

    def spelt(self, text: str) -> str:
        """The text with all tokens of the word where the word stands. One that has a number already stays."""
        if self.count == 1:
            return text
        return re.sub(rf"{re.escape(self.text)}(?!\d)", lambda _: " ".join(self.tokens), text, flags=re.IGNORECASE)
