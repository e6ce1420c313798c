"""Learning rate schedules: each gives the factor on the learning rate at an optimizer step (the first step is 0)."""

import difflib
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from sd_scripts.library.errors import BadOption

Schedule = Callable[[int], float]


class ScheduleSettings(Protocol):
    """The options of a schedule (options.optimizer.ScheduleOptions)."""

    lr_scheduler: str
    lr_warmup_steps: int | float
    lr_scheduler_num_cycles: int
    lr_scheduler_power: float


@dataclass(frozen=True)
class Shape:
    """What a schedule's curve depends on."""

    warmup_steps: int
    total_steps: int
    cycles: int = 1
    power: float = 1.0

    def progress(self, step: int) -> float:
        """0 at the end of the warm-up, 1 at the end of training."""
        return min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))


def constant(progress: float, shape: Shape) -> float:
    """Always the full rate."""
    return 1.0


def linear(progress: float, shape: Shape) -> float:
    """Straight down to 0."""
    return 1.0 - progress


def cosine(progress: float, shape: Shape) -> float:
    """Half a cosine wave down to 0 (Loshchilov and Hutter, "SGDR", 2017, equation 5)."""
    return 0.5 * (1.0 + math.cos(math.pi * progress))


def cosine_with_restarts(progress: float, shape: Shape) -> float:
    """`cycles` half waves, each from the full rate down to 0 (the same paper)."""
    return 0.0 if progress >= 1.0 else cosine(shape.cycles * progress % 1.0, shape)


def polynomial(progress: float, shape: Shape) -> float:
    """Down to 0 as a power of what is left; power 1 is linear."""
    return float((1.0 - progress) ** shape.power)


CURVES: dict[str, Callable[[float, Shape], float]] = {
    "constant": constant,
    "constant_with_warmup": constant,
    "linear": linear,
    "cosine": cosine,
    "cosine_with_restarts": cosine_with_restarts,
    "polynomial": polynomial,
}


def make_schedule(settings: ScheduleSettings, total_steps: int) -> Schedule:
    """The schedule that the options ask for. `constant` with a warm-up is constant_with_warmup. Errors: BadOption."""
    curve = CURVES[schedule_name(settings)]
    warmup_steps = warmup(settings.lr_warmup_steps, total_steps)
    shape = Shape(warmup_steps, total_steps, settings.lr_scheduler_num_cycles, settings.lr_scheduler_power)

    def factor(step: int) -> float:
        return step / warmup_steps if step < warmup_steps else curve(shape.progress(step), shape)

    return factor


def schedule_name(settings: ScheduleSettings) -> str:
    """The schedule's name in lower case. Errors: BadOption, for one that there is not."""
    name = settings.lr_scheduler.lower()
    if name in CURVES:
        return name
    close = difflib.get_close_matches(name, CURVES, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"Use {', '.join(CURVES)}."
    raise BadOption("lr_scheduler", f'--lr_scheduler "{settings.lr_scheduler}": there is no such schedule. {hint}')


def warmup(asked: int | float, total_steps: int) -> int:
    """Warm-up steps; a number below 1 is a share of all steps."""
    return round(asked * total_steps) if 0 < asked < 1 else int(asked)
