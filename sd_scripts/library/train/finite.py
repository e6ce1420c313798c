"""Steps whose loss or gradient is no number: what they were, and whether training can go on past them. Needs no device:
the figures are read when they have arrived (late.py), the weights are kept clean meanwhile (stepping.py)."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from sd_scripts.library.io.usable import wide
from sd_scripts.library.report import Report
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.zero import is_divided

MOST_IN_A_ROW = 20
"""So many steps in a row that are no numbers, and it is not a picture or an overflow any more."""

NAMED_IMAGES = 5
_TOLD_STEPS = 5


@dataclass(frozen=True)
class Trouble:
    """A step that came to no numbers, in its loss or else its gradient: NaN, or else infinite.

    `place`: that before it; `images`: those of the batches that it came from.
    `batch`: the first batch of its window (from 1) whose loss is no number; None: their losses are numbers.
    """

    place: Place
    of_loss: bool
    nan: bool
    images: list[str]
    batches: int = 1
    batch: int | None = None

    @property
    def words(self) -> str:
        """What happened, where, and with which pictures; no full stop."""
        some = ", ".join(self.images[:NAMED_IMAGES])
        more = f" and {len(self.images) - NAMED_IMAGES} more" if len(self.images) > NAMED_IMAGES else ""
        batch = f"batch {self.batch} of {self.batches}; " if self.batch and self.batches > 1 else ""
        where = f"at step {self.place.step + 1}, in epoch {self.place.epoch + 1}"
        how = "NaN" if self.nan else "infinite"
        what = "The loss" if self.of_loss else "The gradient"
        return f"{what} became {how} {where} ({batch}pictures: {some}{more})"


@dataclass(frozen=True)
class BrokenWeights:
    """Weights that are no numbers, though the figures of each step were: the optimizer made them so.

    `place`: where training stands; `part` and `name` of the first such tensor.
    """

    place: Place
    part: str
    name: str

    @property
    def words(self) -> str:
        """What happened, and where; no full stop."""
        return f"The weights are no numbers any more after step {self.place.step} (the {self.part}'s {self.name})"


def trouble_of(
    place: Place, loss: float, losses: Sequence[float], grad_norm: float | None, images: Sequence[Sequence[str]]
) -> Trouble | None:
    """What is wrong with a step: `losses` of its batches and their `images`; grad_norm None: it is not known."""
    everything = [key for keys in images for key in keys]
    bad = [number for number, loss in enumerate(losses) if not math.isfinite(loss)]
    if bad:
        named = [key for number in bad for key in images[number]]
        return Trouble(place, True, math.isnan(losses[bad[0]]), named, len(losses), bad[0] + 1)
    if not math.isfinite(loss):
        return Trouble(place, True, math.isnan(loss), everything, len(losses))
    if grad_norm is not None and not math.isfinite(grad_norm):
        return Trouble(place, False, math.isnan(grad_norm), everything, len(losses))
    return None


class Watch:
    """Decides what becomes of steps that came to no numbers.

    `scales`: gradients are scaled for fp16, where an infinite one now and then is how the scaler finds its scale.
    `give_up` ends the training, or puts it back to where it was good.
    """

    def __init__(self, skips: bool, scales: bool, give_up: Callable[[Trouble], None], report: Report) -> None:
        self._skips = skips
        self._scales = scales
        self._give_up = give_up
        self._report = report
        self.row = 0
        """How many steps in a row came to no numbers."""
        self.left_out = 0
        """Steps that were left out because of what they came to; not those of the scaler."""
        self.given_up = 0
        """How often training went on from where it was good."""

    def passes(self, trouble: Trouble | None) -> bool:
        """Whether a step's figures count. Errors: LossNotFinite, where training ends."""
        if trouble is None:
            self.row = 0
            return True
        self.row += 1
        overflow = self._scales and not trouble.of_loss
        if (overflow or self._skips) and self.row < MOST_IN_A_ROW:
            if not overflow:
                self._leave_out(trouble)
            return overflow
        self._give_up(trouble)
        self.given_up += 1
        self.row = 0
        return False

    def end(self) -> None:
        """Says what was left out in all."""
        if self.left_out > _TOLD_STEPS:
            self._report.notice(f"Left out in all, as they came to no numbers: {self.left_out:,} steps.", "warning")
        if self._skips and self.row:
            steps = "last step was" if self.row == 1 else f"last {self.row:,} steps were all"
            text = f"The {steps} left out: the weights may be broken already. Try an earlier save and a lower rate."
            self._report.notice(text, "warning")
        if self.left_out:
            self._report.counts["steps_left_out"] = self.left_out

    def _leave_out(self, trouble: Trouble) -> None:
        self.left_out += 1
        if self.left_out <= _TOLD_STEPS:
            more = " Further ones are only counted." if self.left_out == _TOLD_STEPS else ""
            self._report.notice(f"{trouble.words}: this step is left out.{more}", "warning")


def broken_tensor(modules: Mapping[str, nn.Module]) -> tuple[str, str] | None:
    """(part, name) of a tensor that holds something else than finite numbers; None where all are fine.

    One look at the device for each module. What processes hold in parts is not looked at.
    """
    for part, module in modules.items():
        if not is_divided(module) and (name := _broken(module)):
            return part, name
    return None


def _broken(module: nn.Module) -> str | None:
    named = [*module.named_parameters(), *module.named_buffers()]
    named = [(name, tensor) for name, tensor in named if tensor.is_floating_point() and tensor.numel()]
    if not named:
        return None
    # The least and the largest of all are NaN or infinite where one is. A norm looks at one number after the other.
    with torch.no_grad():
        ends = [torch.stack(torch.aminmax(wide(tensor))).float().to(named[0][1].device) for _, tensor in named]
        finite = torch.stack(ends).isfinite().all(dim=1).tolist()
    return next((name for (name, _), fine in zip(named, finite, strict=True) if not fine), None)
