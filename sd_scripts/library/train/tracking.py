"""Figures of the training: to the terminal, the events file, and the boards that are asked for."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import NamedTuple

import torch

from sd_scripts.library import events
from sd_scripts.library.report import Report
from sd_scripts.library.train.board_kinds import Board
from sd_scripts.library.train.course import Course, Place
from sd_scripts.library.train.finite import Watch, trouble_of
from sd_scripts.library.train.late import Late
from sd_scripts.library.train.memory import MemoryGauge
from sd_scripts.library.train.sampling import Drawing
from sd_scripts.library.train.stepping import UNKNOWN_NORM
from sd_scripts.library.train.timing import StepTimes


@dataclass(frozen=True)
class StepFigures:
    """What one step came to. `figures` are on their way from the device; `place` is that before the step.

    `waited_s`: how long its pictures were waited for, before `times` begin. `images`: those of each batch.
    """

    place: Place
    figures: "Figures"
    rates: dict[str, float]
    waited_s: float
    times: StepTimes
    images: list[list[str]]

    @property
    def step(self) -> int:
        """Its number, from 1."""
        return self.place.step + 1

    @property
    def epoch(self) -> int:
        """The number of its epoch, from 1."""
        return self.place.epoch + 1


class Told(NamedTuple):
    """The figures of a step as numbers. `grad_norm` None: it is not known, or was none."""

    loss: float
    grad_norm: float | None
    losses: list[float]
    more: dict[str, float]


class Figures:
    """The loss of a step, its gradient's norm, the batches' shares in the loss, and figures of the method by name."""

    def __init__(
        self, loss: torch.Tensor, grad_norm: torch.Tensor, losses_N: torch.Tensor, more: dict[str, torch.Tensor]
    ) -> None:
        self._names = list(more)
        self._late = Late([loss, grad_norm, *more.values(), losses_N])

    def read(self) -> Told:
        """All of them."""
        loss, grad_norm, *rest = self._late.read()
        more = dict(zip(self._names, rest, strict=False))
        return Told(loss, None if grad_norm == UNKNOWN_NORM else grad_norm, rest[len(more) :], more)


class Recent:
    """The last losses, and their mean: kept up to date, as adding up those of a long epoch takes longer each step."""

    def __init__(self, most: int) -> None:
        self._losses: deque[float] = deque(maxlen=most)
        # Exact, so that it stays the sum however many losses come and go.
        self._sum = Fraction(0)

    def add(self, loss: float) -> float:
        """Takes one more; the oldest goes where there are too many. Gives the mean."""
        if len(self._losses) == self._losses.maxlen:
            self._sum -= Fraction(self._losses[0])
        self._losses.append(loss)
        self._sum += Fraction(loss)
        return self.mean

    @property
    def mean(self) -> float:
        """Of all of them."""
        return float(self._sum / len(self._losses))

    def losses(self) -> list[float]:
        """All of them, the newest last."""
        return list(self._losses)


class Tracker:
    """Reads each step's figures one step late, so that the device need not be waited for."""

    def __init__(self, boards: Sequence[Board], report: Report, course: Course, watch: Watch) -> None:
        self._boards = boards
        self._report = report
        self._course = course
        self._watch = watch
        self._recent = Recent(course.steps_per_epoch)
        self._pending: StepFigures | None = None
        self._told: StepFigures | None = None
        self._memory = MemoryGauge()

    def take_up(self, losses: Iterable[float]) -> None:
        """The last losses of the training that goes on: their mean is told as if it had never been interrupted."""
        for loss in losses:
            self._recent.add(loss)

    @property
    def recent(self) -> list[float]:
        """The losses of the last steps, as many as an epoch has."""
        return self._recent.losses()

    def step(self, figures: StepFigures) -> None:
        """Takes a step's figures and tells those of the step before."""
        given_up = self._watch.given_up
        self.flush()
        if self._watch.given_up > given_up:
            # Training went back to before this step too: what it came to, good or bad, counts no more.
            return
        if self._told and self._told.epoch != figures.epoch:
            self._end_epoch()
        self._pending = figures

    def flush(self) -> None:
        """Tells what is not yet told. Errors: LossNotFinite, where training ends because of it."""
        figures, self._pending = self._pending, None
        if figures is None:
            return
        told = figures.figures.read()
        trouble = trouble_of(figures.place, told.loss, told.losses, told.grad_norm, figures.images)
        if self._watch.passes(trouble):
            self._tell(figures, told)

    def _tell(self, figures: StepFigures, told: Told) -> None:
        average = self._recent.add(told.loss)
        machine = times_s(figures) | self._memory.read()
        values = _values(figures, told, average) | machine
        self._report.emit(events.Metric(step=figures.step, epoch=figures.epoch, values=values))
        self._log(figures, told, average, machine)
        self._told = figures
        note = f"epoch {figures.epoch} of {self._course.epochs}, loss {average:.4f}"
        self._report.progress(figures.step, self._course.total_steps, note)

    def draw(self, drawings: Iterable[Drawing], step: int) -> None:
        """Logs samples that were written after a step."""
        for drawing in drawings:
            for board in self._boards:
                board.picture(f"sample_{drawing.index}", drawing.path, drawing.prompt, step)

    def validated(self, loss: float, place: Place) -> None:
        """Tells the loss of the pictures that are not learnt, after a step."""
        epoch = place.epoch + (1 if place.window else 0)
        self._report.emit(events.Validation(step=place.step, epoch=epoch, loss=loss))
        for board in self._boards:
            board.scalars({"loss/validation": loss}, place.step)

    def end(self) -> None:
        """Tells what is not yet told of the last step and its epoch. Errors: LossNotFinite."""
        self.flush()
        self._watch.end()
        if self._told:
            self._end_epoch()

    def _log(self, figures: StepFigures, told: Told, average: float, machine: dict[str, float]) -> None:
        """Under the names that sd-scripts' users know, where it has one."""
        if not self._boards:
            return
        scalars = {
            "loss/current": told.loss,
            "loss/average": average,
            **{f"lr/{part}": rate for part, rate in figures.rates.items()},
            "grad_norm": math.nan if told.grad_norm is None else told.grad_norm,
            **{f"{'time' if name.endswith('_s') else 'memory'}/{name}": value for name, value in machine.items()},
            **told.more,
        }
        for board in self._boards:
            board.scalars(scalars, figures.step)

    def _end_epoch(self) -> None:
        assert self._told is not None
        for board in self._boards:
            board.scalars({"loss/epoch_average": self._recent.mean}, self._told.step)


def _values(figures: StepFigures, told: Told, average: float) -> dict[str, float]:
    values = {
        "loss": told.loss,
        "loss_average": average,
        "lr": next(iter(figures.rates.values())),
        **{f"lr/{part}": rate for part, rate in figures.rates.items()},
        **told.more,
    }
    # An overflow of fp16 gives no norm: the scaler leaves that step out.
    known = told.grad_norm is not None and math.isfinite(told.grad_norm)
    return values | ({"grad_norm": told.grad_norm} if known and told.grad_norm is not None else {})


def times_s(figures: StepFigures) -> dict[str, float]:
    """How long the parts of a step took (`data_s`, with the wait for pictures, `forward_s`, ...), and all of it."""
    parts = figures.times.seconds()
    parts["data"] += figures.waited_s
    return {"step_s": sum(parts.values()), **{f"{part}_s": seconds for part, seconds in parts.items()}}
