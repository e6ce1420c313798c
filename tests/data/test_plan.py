"""The order of an epoch."""

from collections import Counter

from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library.data.plan import Group, plan_batches
from sd_scripts.library.data.training_data import Item


@settings(max_examples=50, deadline=None)
@given(st.lists(st.integers(0, 30), max_size=6), st.integers(1, 8), st.integers(0, 99))
def test_every_item_once_in_uniform_batches(sizes: list[int], batch_size: int, seed: int) -> None:
    groups = {place: [Item(place * 100 + n, 0) for n in range(size)] for place, size in enumerate(sizes)}
    batches = plan_batches([Group(items, batch_size) for items in groups.values()], seed, 0)
    assert Counter(i for batch in batches for i in batch) == Counter(i for items in groups.values() for i in items)
    assert all(len({item.image // 100 for item in batch}) == 1 and len(batch) <= batch_size for batch in batches)
    assert len(batches) == sum(-(-size // batch_size) for size in sizes)


def test_the_order_comes_from_seed_and_epoch_alone() -> None:
    groups = [Group([Item(n, 0) for n in range(50)], 4), Group([Item(n, 0) for n in range(50, 80)], 4)]
    first = plan_batches(groups, 1, 0)
    assert first == plan_batches(groups, 1, 0)
    assert first != plan_batches(groups, 1, 1) and first != plan_batches(groups, 2, 0)
    assert first[0][0].image // 50 != first[-1][0].image // 50 or first != sorted(first)
