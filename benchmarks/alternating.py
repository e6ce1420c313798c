"""Two computations in turn, so that both meet the same machine."""

import statistics
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def alternating(ours: Callable[[], float], bare: Callable[[], float], rounds: int) -> tuple[float, float, float]:
    """(median of ours, of the bare computation, of their ratios), taken in turn, the order swapped each time.

    Machines change their speed: what is near in time is compared. Each gives its own figure, seconds for instance.
    """
    pairs: list[tuple[float, float]] = []
    for number in range(rounds):
        first, second = in_turn(number, ours, bare)
        pairs.append(in_turn(number, first(), second()))
    middle = statistics.median
    return middle(our for our, _ in pairs), middle(bare for _, bare in pairs), middle(our / bare for our, bare in pairs)


def in_turn(number: int, ours: T, bare: T) -> tuple[T, T]:
    """Both in the order of the round of this number: swapped each time. What is in that order is put back again."""
    return (bare, ours) if number % 2 else (ours, bare)
