"""A change of low rank as the two matrices whose product it is, and what can be done to it without making the product.

Sources: Eckart and Young, "The approximation of one matrix by another of lower rank", 1936: the best approximation of a
rank keeps the largest singular values. Golub and Van Loan, "Matrix Computations", 5.4: the singular values of B A from
those of the small matrix between the orthogonal factors of B and A'.
"""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Factors(NamedTuple):
    """The change B A of a layer as a matrix: `up_OR` is B, `down_RI` is A. I counts a window's places too."""

    up_OR: Tensor
    down_RI: Tensor

    @property
    def rank(self) -> int:
        """R."""
        return len(self.down_RI)

    def times(self, strength: float) -> "Factors":
        """The change times a number, of which either matrix takes its half, so that neither leaves its format."""
        share = abs(strength) ** 0.5
        return Factors(self.up_OR * (share if strength >= 0 else -share), self.down_RI * share)

    def product(self) -> Tensor:
        """change_OI."""
        return self.up_OR @ self.down_RI


class Singular(NamedTuple):
    """A change as U diag(S) V', the largest of S first."""

    u_OR: Tensor
    values_R: Tensor
    vh_RI: Tensor

    def cut(self, rank: int) -> Factors:
        """The best approximation of a rank, or the whole where that is less; the roots of S go to either matrix."""
        roots_R = self.values_R[:rank].sqrt()
        return Factors(self.u_OR[:, :rank] * roots_R, roots_R[:, None] * self.vh_RI[:rank])


def sum_of(parts: Sequence[Factors]) -> Factors:
    """The sum of changes: their matrices side by side, so its rank is the sum of theirs."""
    up_OR = torch.cat([part.up_OR for part in parts], dim=1)
    return Factors(up_OR, torch.cat([part.down_RI for part in parts]))


def singular_of(factors: Factors) -> Singular:
    """The singular values of a product, by way of a matrix no larger than the rank."""
    q_up_OR, r_up_RR = torch.linalg.qr(factors.up_OR)
    q_down_IR, r_down_RR = torch.linalg.qr(factors.down_RI.T)
    u_RR, values_R, vh_RR = torch.linalg.svd(r_up_RR @ r_down_RR.T, full_matrices=False)
    return Singular(q_up_OR @ u_RR, values_R, vh_RR @ q_down_IR.T)


def singular_of_matrix(change_OI: Tensor) -> Singular:
    """The singular values of a change that is given as a matrix."""
    return Singular(*torch.linalg.svd(change_OI, full_matrices=False))


def shortest(factors: Factors) -> Factors:
    """The same change with as low a rank as it has, to the rounding of its numbers."""
    found = singular_of(factors)
    side = max(len(factors.up_OR), factors.down_RI.shape[1])
    smallest = found.values_R[0] * side * torch.finfo(torch.float32).eps
    return found.cut(max(1, int((found.values_R > smallest).sum())))


def shuffled(factors: Factors, generator: torch.Generator) -> Factors:
    """The same change with its ranks in another order."""
    order_R = torch.randperm(factors.rank, generator=generator)
    return Factors(factors.up_OR[:, order_R], factors.down_RI[order_R])


def limited(factors: Factors, share: float) -> Factors:
    """Numbers larger, by magnitude, than this share of all in both matrices are cut to that limit."""
    magnitudes = torch.cat([factors.up_OR.flatten(), factors.down_RI.flatten()]).abs()
    kept = max(1, round(share * len(magnitudes)))
    limit = float(magnitudes.kthvalue(kept).values)
    return Factors(factors.up_OR.clamp(-limit, limit), factors.down_RI.clamp(-limit, limit))
