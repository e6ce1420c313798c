"""Weights within texts, as AUTOMATIC1111's web interface and sd-scripts write them: (more), (much more:1.5), [less]."""

import re
from typing import NamedTuple

from torch import Tensor

ROUND, SQUARE = 1.1, 1 / 1.1
"""What a pair of brackets without a number multiplies by."""

# An escaped bracket or backslash, a bracket, the end of a bracket with a number, or plain text.
_SIGNS = re.compile(r"\\(?P<escaped>[()\[\]\\]?)|[(\[)\]]|:(?P<number>[+-]?(?:\d+\.?\d*|\.\d+))\)|:|[^\\()\[\]:]+")
_PAIRS = {")": ("(", ROUND), "]": ("[", SQUARE)}

# Means below this share of the values' size are rounding: a norm without a bias of its own has the mean 0.
_NO_MEAN = 1e-4


class Piece(NamedTuple):
    """A piece of a text, and how much it counts."""

    text: str
    weight: float


def weighted_pieces(text: str) -> list[Piece]:
    """The pieces of a text, without the signs of their weights.

    Brackets within brackets multiply; one that is not closed goes on to the end; a closing one by itself is text, and
    so is one after a backslash. Neighbours of equal weight are one piece.
    """
    pieces: list[Piece] = []
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for sign in _SIGNS.finditer(text):
        found = sign[0]
        bracket, factor = ("(", float(sign["number"])) if sign["number"] else _PAIRS.get(found, ("", 1.0))
        if found in opened:
            opened[found].append(len(pieces))
        elif opened.get(bracket):
            _multiply(pieces, opened[bracket].pop(), factor)
        else:
            pieces.append(Piece(found if sign["escaped"] is None else sign["escaped"], 1.0))
    for bracket, factor in _PAIRS.values():
        for start in opened[bracket]:
            _multiply(pieces, start, factor)
    return _joined(pieces)


def weigh(hidden_BLD: Tensor, weights_BL: Tensor) -> Tensor:
    """hidden_BLD, each position times its weight, scaled so that each text keeps the mean that it had."""
    weighed_BLD = hidden_BLD * weights_BL.to(hidden_BLD.dtype)[:, :, None]
    before_B, after_B = (states.float().mean(dim=(1, 2)) for states in (hidden_BLD, weighed_BLD))
    size_B = hidden_BLD.detach().float().abs().mean(dim=(1, 2))
    is_mean_B = (before_B.abs() > _NO_MEAN * size_B) & (after_B.abs() > _NO_MEAN * size_B)
    # The numbers that are not used must not divide by zero either: their gradients would be no numbers.
    ratio_B = before_B.where(is_mean_B, 1) / after_B.where(is_mean_B, 1)
    return weighed_BLD * ratio_B.to(hidden_BLD.dtype)[:, None, None]


def _multiply(pieces: list[Piece], start: int, factor: float) -> None:
    pieces[start:] = [Piece(piece.text, piece.weight * factor) for piece in pieces[start:]]


def _joined(pieces: list[Piece]) -> list[Piece]:
    joined: list[Piece] = []
    for piece in pieces:
        if joined and joined[-1].weight == piece.weight:
            joined[-1] = Piece(joined[-1].text + piece.text, piece.weight)
        else:
            joined.append(piece)
    return joined
