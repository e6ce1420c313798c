"""The processes that train together. Needs no torch, but to talk to each other."""

import os
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

    def agree(self, own: T) -> T:
        """The main process's value, in all of them; each must call it. It must be picklable."""
        if self.size == 1:
            return own
        from accelerate.utils import broadcast_object_list

        agreed: T = broadcast_object_list([own])[0]
        return agreed


def launched() -> Team:
    """The team as a launcher says it; one process by itself is the first of one."""
    return Team(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def local_rank() -> int:
    """The number of this process on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))
