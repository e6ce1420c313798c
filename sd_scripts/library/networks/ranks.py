"""How many singular values are kept: rules from the values, largest first, to a rank of 1 or more."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

Dynamic = Literal["sv_ratio", "sv_fro", "sv_cumulative"]


def within_ratio(values_R: Tensor, ratio: float) -> int:
    """Those larger than the largest divided by `ratio`."""
    return above(values_R, float(values_R[0]) / ratio)


def of_length(values_R: Tensor, share: float) -> int:
    """The fewest that have this share of the change's length (its Frobenius norm)."""
    return _reaching(values_R.double().square(), share**2)


def of_sum(values_R: Tensor, share: float) -> int:
    """The fewest whose sum is this share of the sum of all."""
    return _reaching(values_R.double(), share)


def above(values_R: Tensor, smallest: float) -> int:
    """Those larger than a number."""
    return max(1, int((values_R > smallest).sum()))


def _reaching(parts_R: Tensor, share: float) -> int:
    # A little less, as squares and sums are rounded: 0.8 of the length is 0.64 of the squares, and not more.
    wanted = share * parts_R.sum() * (1 - 1e-9)
    short = int((parts_R.cumsum(0) < wanted).sum())
    return max(1, min(short + 1, len(parts_R)))


DYNAMIC: dict[Dynamic, Callable[[Tensor, float], int]] = {
    "sv_ratio": within_ratio,
    "sv_fro": of_length,
    "sv_cumulative": of_sum,
}
"""The rules of resize_lora.py."""
