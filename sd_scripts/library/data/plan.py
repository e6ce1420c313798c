"""Which items make up the batches of an epoch. Pure functions; needs no torch."""

import random
from collections.abc import Hashable, Mapping, Sequence

from sd_scripts.library.data.training_data import Item
from sd_scripts.library.seeds import derive


def plan_batches(groups: Mapping[Hashable, Sequence[Item]], batch_size: int, seed: int, epoch: int) -> list[list[Item]]:
    """Every item once; the items of a batch come from one group, shuffled; the batches are shuffled as well.

    The last batch of a group may be smaller. The order of the groups counts.
    """
    # Python's own generator: its shuffle has stayed the same over versions and machines.
    order = random.Random(derive(seed, "order", epoch))
    batches = []
    for group in groups.values():
        items = list(group)
        order.shuffle(items)
        batches += [items[start : start + batch_size] for start in range(0, len(items), batch_size)]
    order.shuffle(batches)
    return batches
