"""Learning rate schedules as functions of the step: each gives the factor on the learning rate (the first step is 0).

They are the curves that diffusers and transformers know by these names, and take their further arguments.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

from sd_scripts.library.errors import BadOption

Schedule = Callable[[int], float]


@dataclass(frozen=True)
class Shape:
    """What a curve may depend on."""

    total_steps: int
    warmup_steps: int = 0
    decay_steps: int = 0
    learning_rate: float = 1.0
    cycles: int = 1
    power: float = 1.0
    timescale: int | None = None
    min_ratio: float = 0.0

    def progress(self, step: int) -> float:
        """0 at the end of the warm-up, 1 at the end of training."""
        return min(1.0, (step - self.warmup_steps) / max(1, self.total_steps - self.warmup_steps))


def constant(shape: Shape) -> Schedule:
    """The full rate."""
    return _risen(shape, lambda step: 1.0)


def linear(shape: Shape) -> Schedule:
    """Straight down to 0."""
    return _risen(shape, lambda step: 1.0 - shape.progress(step))


def cosine(shape: Shape, num_cycles: float = 0.5) -> Schedule:
    """A cosine wave, half of it if not told otherwise (Loshchilov and Hutter, "SGDR", 2017, equation 5)."""
    return _risen(shape, lambda step: _wave(num_cycles * shape.progress(step)))


def cosine_with_restarts(shape: Shape) -> Schedule:
    """`cycles` half waves, each from the full rate down to 0 (the same paper)."""

    def factor(step: int) -> float:
        progress = shape.progress(step)
        return 0.0 if progress >= 1.0 else _wave(shape.cycles * progress % 1.0 / 2)

    return _risen(shape, factor)


def cosine_with_min_lr(shape: Shape, min_lr: float | None = None) -> Schedule:
    """`cycles` half waves down to a lowest rate: `min_lr`, or a share of the learning rate."""
    low = shape.min_ratio if min_lr is None else min_lr / (shape.learning_rate or 1.0)
    return _risen(shape, lambda step: _above(low, _wave(shape.cycles / 2 * shape.progress(step))))


def polynomial(shape: Shape, lr_end: float = 1e-7) -> Schedule:
    """Down to the rate `lr_end` as a power of what is left; power 1 is straight. Errors: BadOption."""
    if shape.learning_rate <= lr_end:
        sentence = f"--lr_scheduler polynomial ends at lr_end={lr_end:g}, so --learning_rate must be higher than that."
        raise BadOption("learning_rate", f"{sentence} Or ask for --lr_scheduler_args lr_end=0.")
    low = lr_end / shape.learning_rate
    return _risen(shape, lambda step: _above(low, (1.0 - shape.progress(step)) ** shape.power))


def inverse_sqrt(shape: Shape) -> Schedule:
    """As the inverse square root of the step (Vaswani et al., "Attention Is All You Need", 2017, equation 3)."""
    timescale = shape.timescale or shape.warmup_steps or 10_000
    return _risen(shape, lambda step: math.sqrt(timescale / (step - shape.warmup_steps + timescale)))


def warmup_stable_decay(shape: Shape, warmup_type: str = "linear", decay_type: str = "cosine") -> Schedule:
    """Up, the full rate, and down over the last `decay_steps` (Hu et al., "MiniCPM", 2024). Errors: BadOption."""
    rise, fall = _form("warmup_type", warmup_type), _form("decay_type", decay_type)
    stable_until = shape.total_steps - shape.decay_steps
    if stable_until < shape.warmup_steps:
        steps = f"{shape.warmup_steps:,} steps of warm-up and {shape.decay_steps:,} of decay"
        raise BadOption("lr_decay_steps", f"{steps} are more than the {shape.total_steps:,} of training. Ask for less.")

    def factor(step: int) -> float:
        if step < shape.warmup_steps:
            return _above(shape.min_ratio, rise(1.0 - step / shape.warmup_steps, 0.5))
        if step < stable_until:
            return 1.0
        progress = (step - stable_until) / max(1, shape.decay_steps)
        return _above(shape.min_ratio, fall(progress, shape.cycles / 2)) if progress < 1.0 else shape.min_ratio

    return factor


def piecewise_constant(shape: Shape, step_rules: str) -> Schedule:
    """Steps down: "1:100,0.1:200,0.01" is 1 until step 100, 0.1 until step 200, then 0.01. Errors: BadOption."""
    *rules, last = step_rules.split(",")
    try:
        ends = sorted((int(end), float(factor)) for factor, end in (rule.split(":") for rule in rules))
        final = float(last)
    except ValueError as error:
        sentence = f'step_rules={step_rules}: write factor:step pairs and a last factor, such as "1:100,0.1".'
        raise BadOption("lr_scheduler_args", f"--lr_scheduler_args {sentence}") from error
    return lambda step: next((factor for end, factor in ends if step < end), final)


def adafactor(shape: Shape) -> Schedule:
    """The rate is AdaFactor's own."""
    return lambda step: 1.0


CURVES: dict[str, Callable[..., Schedule]] = {
    "constant": constant,
    "constant_with_warmup": constant,
    "linear": linear,
    "cosine": cosine,
    "cosine_with_restarts": cosine_with_restarts,
    "cosine_with_min_lr": cosine_with_min_lr,
    "polynomial": polynomial,
    "inverse_sqrt": inverse_sqrt,
    "warmup_stable_decay": warmup_stable_decay,
    "piecewise_constant": piecewise_constant,
    "adafactor": adafactor,
}


def _risen(shape: Shape, factor: Schedule) -> Schedule:
    """`factor`, once a straight warm-up from 0 is over."""
    return lambda step: step / shape.warmup_steps if step < shape.warmup_steps else factor(step)


def _wave(turns: float) -> float:
    """A cosine from 1 to 0 and back; half a turn ends at 0."""
    return 0.5 * (1.0 + math.cos(2.0 * math.pi * turns))


def _above(low: float, factor: float) -> float:
    """A factor of 0 to 1 as one of `low` to 1."""
    return low + (1.0 - low) * factor


_FORMS: dict[str, Callable[[float, float], float]] = {
    "linear": lambda progress, turns: 1.0 - progress,
    "cosine": lambda progress, turns: _wave(turns * progress),
    "1-sqrt": lambda progress, turns: 1.0 - math.sqrt(progress),
}
"""Ways from 1 to 0 while `progress` goes from 0 to 1."""


def _form(argument: str, name: str) -> Callable[[float, float], float]:
    if name not in _FORMS:
        sentence = f"--lr_scheduler_args {argument}={name}: use {', '.join(_FORMS)}."
        raise BadOption("lr_scheduler_args", sentence)
    return _FORMS[name]
