"""Figures of the training: to the terminal, the events file, and the boards that are asked for."""

import math
from collections import deque
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import torch

from sd_scripts.library import events
from sd_scripts.library.errors import LossNotFinite
from sd_scripts.library.report import Report
from sd_scripts.library.train.board_kinds import Board
from sd_scripts.library.train.course import Course, Place
from sd_scripts.library.train.memory import MemoryGauge
from sd_scripts.library.train.sampling import Drawing
from sd_scripts.library.train.timing import StepTimes

NAMED_IMAGES = 5


@dataclass(frozen=True)
class StepFigures:
    """What one step came to. Loss and norm stay on the device until somebody looks; `epoch` counts from 1.

    `waited_s`: how long its pictures were waited for, before `times` begin.
    """

    step: int
    epoch: int
    loss: torch.Tensor
    grad_norm: torch.Tensor
    rates: dict[str, float]
    waited_s: float
    times: StepTimes
    images: list[str]
    more: dict[str, torch.Tensor] = field(default_factory=dict)
    """Figures of the method, by the names under which they are logged."""


class Tracker:
    """Reads each step's figures one step late, so that the device need not be waited for."""

    def __init__(self, boards: Sequence[Board], report: Report, course: Course) -> None:
        self._boards = boards
        self._report = report
        self._course = course
        self._recent: deque[float] = deque(maxlen=course.steps_per_epoch)
        self._pending: StepFigures | None = None
        self._told: StepFigures | None = None
        self._memory = MemoryGauge()
        self.last_save: Path | None = None

    def take_up(self, losses: Iterable[float]) -> None:
        """The last losses of the training that goes on: their mean is told as if it had never been interrupted."""
        self._recent.extend(losses)

    @property
    def recent(self) -> list[float]:
        """The losses of the last steps, as many as an epoch has."""
        return list(self._recent)

    def step(self, figures: StepFigures) -> None:
        """Takes a step's figures and tells those of the step before."""
        self.flush()
        if self._told and self._told.epoch != figures.epoch:
            self._end_epoch()
        self._pending = figures

    def flush(self) -> None:
        """Tells what is not yet told. Errors: LossNotFinite, where the loss is not a number."""
        figures, self._pending = self._pending, None
        if figures is None:
            return
        loss = float(figures.loss)
        if not math.isfinite(loss):
            raise LossNotFinite(self._not_finite(figures, loss))
        self._recent.append(loss)
        average = sum(self._recent) / len(self._recent)
        machine = times_s(figures) | self._memory.read()
        values = self._values(figures, loss, average) | machine
        self._report.emit(events.Metric(step=figures.step, epoch=figures.epoch, values=values))
        self._log(figures, loss, average, machine)
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
        if self._told:
            self._end_epoch()

    def _values(self, figures: StepFigures, loss: float, average: float) -> dict[str, float]:
        values = {
            "loss": loss,
            "loss_average": average,
            "lr": next(iter(figures.rates.values())),
            **{f"lr/{part}": rate for part, rate in figures.rates.items()},
            **{name: float(figure) for name, figure in figures.more.items()},
        }
        grad_norm = float(figures.grad_norm)
        # An overflow of fp16 gives no norm: the scaler leaves that step out.
        return values | ({"grad_norm": grad_norm} if math.isfinite(grad_norm) else {})

    def _log(self, figures: StepFigures, loss: float, average: float, machine: dict[str, float]) -> None:
        """Under the names that sd-scripts' users know, where it has one."""
        scalars = {
            "loss/current": loss,
            "loss/average": average,
            **{f"lr/{part}": rate for part, rate in figures.rates.items()},
            "grad_norm": float(figures.grad_norm),
            **{f"{'time' if name.endswith('_s') else 'memory'}/{name}": value for name, value in machine.items()},
            **{name: float(figure) for name, figure in figures.more.items()},
        }
        for board in self._boards:
            board.scalars(scalars, figures.step)

    def _end_epoch(self) -> None:
        assert self._told is not None
        for board in self._boards:
            board.scalars({"loss/epoch_average": sum(self._recent) / len(self._recent)}, self._told.step)

    def _not_finite(self, figures: StepFigures, loss: float) -> str:
        what = "NaN" if math.isnan(loss) else "infinite"
        named = ", ".join(figures.images[:NAMED_IMAGES])
        more = f" and {len(figures.images) - NAMED_IMAGES} more" if len(figures.images) > NAMED_IMAGES else ""
        saved = f"Last good save: {self.last_save}." if self.last_save else "Nothing was saved before."
        return (
            f"Loss became {what} at step {figures.step} (pictures: {named}{more}). {saved} Try a lower --learning_rate."
        )


def times_s(figures: StepFigures) -> dict[str, float]:
    """How long the parts of a step took (`data_s`, with the wait for pictures, `forward_s`, ...), and all of it."""
    parts = figures.times.seconds()
    parts["data"] += figures.waited_s
    return {"step_s": sum(parts.values()), **{f"{part}_s": seconds for part, seconds in parts.items()}}
