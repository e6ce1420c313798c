"""Which items make up the batches of an epoch, and the captions as they are shown. Pure functions; needs no torch."""

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


def shuffled_caption(text: str, separator: str, keep_parts: int, seed: int) -> str:
    """The caption's parts with the first ones in their place and the rest shuffled, joined by ", ". Empty parts go."""
    parts = [part.strip() for part in text.split(separator)]
    parts = [part for part in parts if part]
    rest = parts[keep_parts:]
    random.Random(seed).shuffle(rest)
    return ", ".join(parts[:keep_parts] + rest)
