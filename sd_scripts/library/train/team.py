"""The processes that train together."""

from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """How many processes there are, and which of them this one is."""

    rank: int = 0
    size: int = 1

    def gather(self, own: T) -> list[T]:
        """Every process's value, in all of them; each must call it. The values must be picklable."""
        if self.size == 1:
            return [own]
        from accelerate.utils import gather_object

        return list(gather_object([own]))
