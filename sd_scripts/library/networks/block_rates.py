"""Weights of the U-Net's blocks, by which the learning rate is multiplied. Needs no torch."""

import math
from collections.abc import Callable

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.adaptable import Blocks
from sd_scripts.library.networks.arguments import LoraFaArguments

_CURVES: dict[str, Callable[[float], float]] = {
    "sine": lambda x: math.sin(math.pi * x / 2),
    "cosine": lambda x: math.cos(math.pi * x / 2),
    "linear": lambda x: x,
    "reverse_linear": lambda x: 1 - x,
    "zeros": lambda x: 0.0,
}
"""Weight of a block at x, which goes from 0 at the first block of a side to 1 at its last."""


def block_weights(asked: LoraFaArguments, blocks: Blocks) -> tuple[float, ...] | None:
    """A weight for each block; None where none is asked for. At 0 a block is not trained. Errors: BadOption."""
    sides = {"down": blocks.down, "mid": blocks.mid, "up": blocks.up}
    texts = {side: getattr(asked, f"{side}_lr_weight") for side in sides}
    if not any(texts.values()):
        return None
    found = [weight for side, count in sides.items() for weight in _side(side, texts[side], count)]
    kept = [weight if weight > asked.block_lr_zero_threshold else 0.0 for weight in found]
    return (1.0,) * blocks.before + tuple(kept) + (1.0,) * blocks.after


def _side(side: str, text: str | None, count: int) -> list[float]:
    """The weights of one side of the U-Net, from its numbers or from a curve such as cosine+0.25."""
    if text is None:
        return [1.0] * count
    name, _, base = text.partition("+")
    try:
        if name in _CURVES:
            return [_CURVES[name](i / max(1, count - 1)) + float(base or 0) for i in range(count)]
        weights = [float(part or 0) for part in text.split(",")]
    except ValueError:
        weights = []
    if len(weights) != count or any(not 0 <= weight < math.inf for weight in weights):
        wanted = f"{count} numbers, 0 or more, separated by commas, or one of {', '.join(_CURVES)}, such as sine+0.25"
        raise BadOption("network_args", f"--network_args {side}_lr_weight={text}: write {wanted}.")
    return weights
