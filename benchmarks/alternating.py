"""Two computations in turn, so that both meet the same machine."""

import statistics
from collections.abc import Callable


def alternating(ours: Callable[[], float], bare: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """(median of ours, of the bare computation, of their ratios), taken in turn, the order swapped each time.

    Machines change their speed: what is near in time is compared. Each gives its own figure, seconds for instance.
    """
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        if number % 2:
            second = bare()
            pairs.append((ours(), second))
        else:
            pairs.append((ours(), bare()))
    middle = statistics.median
    return middle(our for our, _ in pairs), middle(bare for _, bare in pairs), middle(our / bare for our, bare in pairs)
