"""How far training goes, and where it stands: epochs, windows of batches, optimizer steps. Needs no torch."""

import hashlib
from dataclasses import dataclass
from typing import Protocol

from sd_scripts.library.data.training_data import Item

# What one optimizer step learns from: batches whose gradients are added up.
Window = list[list[Item]]


@dataclass(frozen=True)
class Course:
    """The whole way. A window of batches ends with its epoch: the last one of an epoch may be shorter.

    `since`: (step, epochs before it) from which on epochs have this length; a branch may go on from one of others.
    """

    steps_per_epoch: int
    total_steps: int
    since: tuple[int, int] = (0, 0)

    @property
    def epochs(self) -> int:
        """Epochs that are begun."""
        step, epochs = self.since
        return epochs - (step - self.total_steps) // self.steps_per_epoch


@dataclass
class Place:
    """How far training has come: optimizer steps in all, the present epoch (from 0), windows of it that are done."""

    step: int = 0
    epoch: int = 0
    window: int = 0

    def advance(self, course: Course) -> int | None:
        """One step further. Gives the number (from 1) of the epoch that ended with it, if one did."""
        self.step += 1
        self.window += 1
        if self.window < course.steps_per_epoch:
            return None
        self.epoch, self.window = self.epoch + 1, 0
        return self.epoch


class Length(Protocol):
    """The options that a course is made from (options.training.LengthOptions)."""

    max_train_steps: int
    max_train_epochs: int | None
    gradient_accumulation_steps: int


def course_of(batches_per_epoch: int, length: Length, since: tuple[int, int] = (0, 0)) -> Course:
    """The course over so many batches an epoch; max_train_epochs wins over max_train_steps."""
    steps_per_epoch = -(-batches_per_epoch // length.gradient_accumulation_steps)
    total_steps = length.max_train_steps
    if length.max_train_epochs is not None:
        total_steps = since[0] + max(0, length.max_train_epochs - since[1]) * steps_per_epoch
    return Course(steps_per_epoch, total_steps, since)


def windows(plan: list[list[Item]], accumulation: int) -> list[Window]:
    """The plan of an epoch, cut into windows of so many batches."""
    return [plan[start : start + accumulation] for start in range(0, len(plan), accumulation)]


def fingerprint(planned: list[Window]) -> str:
    """A number for an epoch's plan: a state goes on within an epoch only where the plan is the same."""
    text = repr([[[tuple(item) for item in batch] for batch in window] for window in planned])
    return hashlib.sha256(text.encode()).hexdigest()[:16]
