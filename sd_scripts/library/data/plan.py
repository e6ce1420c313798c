"""Which items make up the batches of an epoch. Pure functions; needs no torch."""

import random
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sd_scripts.library.data.training_data import Item
from sd_scripts.library.seeds import derive


class Group(NamedTuple):
    """Items that may share a batch, and how many of them make one."""

    items: Sequence[Item]
    batch_size: int


def plan_batches(groups: Iterable[Group], seed: int, epoch: int) -> list[list[Item]]:
    """Every item once; the items of a batch come from one group, shuffled; the batches are shuffled as well.

    The last batch of a group may be smaller. The order of the groups counts.
    """
    # Python's own generator: its shuffle has stayed the same over versions and machines.
    order = random.Random(derive(seed, "order", epoch))
    batches = []
    for group in groups:
        items = list(group.items)
        order.shuffle(items)
        batches += [items[start : start + group.batch_size] for start in range(0, len(items), group.batch_size)]
    order.shuffle(batches)
    return batches
