"""Weights in portions, as an optimizer with stochastic rounding steps through them (train/rounding.py)."""

from collections.abc import Iterator, Sequence

PORTION = 1 << 23
"""Weights that are in float32 at a time."""


def cut(sizes: Sequence[int], most: int = PORTION) -> Iterator[slice]:
    """Places of neighbours that come to `most` together, or to less; a larger one stands alone."""
    start, together = 0, 0
    for place, size in enumerate(sizes):
        if place > start and together + size > most:
            yield slice(start, place)
            start, together = place, 0
        together += size
    if start < len(sizes):
        yield slice(start, len(sizes))
