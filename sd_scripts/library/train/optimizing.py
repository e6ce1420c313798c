"""How optimizer, rates and schedule go together: what cannot be, and what a user should know. Needs no torch."""

from collections.abc import Iterator
from typing import Any, Protocol

from sd_scripts.library.errors import BadOption
from sd_scripts.library.notice import Notice
from sd_scripts.library.train.curves import Schedule
from sd_scripts.library.train.known_optimizers import NEEDS_A_RATE
from sd_scripts.library.train.optimizers import optimizer_name, sets_its_rates
from sd_scripts.library.train.schedules import make_schedule, schedule_arguments, schedule_name, steps_of
from sd_scripts.options.optimizer import (
    SCHEDULES,
    OptimizerOptions,
    ScheduleOptions,
    finds_its_rate,
    is_schedule_free,
)

# D-Adaptation and Prodigy scale a rate of about 1.
LOWEST_SCALE = 0.1
# More steps than any training has, where their number is not yet known.
MANY_STEPS = 10**9


class PartRates(Protocol):
    """The options that say which parts are trained, and how (options.method.FullMethodOptions)."""

    @property
    def frozen_by(self) -> str:
        """Why no text encoder is trained; empty: they are."""

    @property
    def text_rates(self) -> dict[str, float | None]:
        """The text encoders' own learning rates by option."""

    @property
    def block_rates(self) -> list[float] | None:
        """The learning rates of the U-Net's blocks."""


class Length(Protocol):
    """The options that say how long training takes (options.training.LengthOptions)."""

    max_train_steps: int
    max_train_epochs: int | None


def check_optimizing(optimizer: OptimizerOptions, schedule: ScheduleOptions, length: Length) -> None:
    """What can be said before the data is read. Errors: BadOption."""
    name = optimizer_name(optimizer)
    steps = length.max_train_steps if length.max_train_epochs is None else MANY_STEPS
    if schedule.lr_scheduler_type:
        _check_scheduler_class(optimizer, schedule)
        return
    if schedule_name(schedule) == "adafactor" and not sets_its_rates(optimizer):
        needs = "--optimizer_type AdaFactor with its own rates (relative_step=True)"
        raise BadOption("lr_scheduler", f"--lr_scheduler adafactor needs {needs}. Use constant with {name}.")
    factor = choose_schedule(optimizer, schedule, steps)
    if name in NEEDS_A_RATE and optimizer.learning_rate * factor(0) == 0:
        what = "--lr_warmup_steps" if optimizer.learning_rate else "--learning_rate"
        raise BadOption(what[2:], f"{what}: {name} cannot take a step at a learning rate of 0. Use another optimizer.")


def choose_schedule(optimizer: OptimizerOptions, schedule: ScheduleOptions, total_steps: int) -> Schedule:
    """The curve that is trained with: the full rate where a class or the optimizer sees to it. Errors: BadOption."""
    if schedule.lr_scheduler_type or has_own_way(optimizer):
        return lambda step: 1.0
    return make_schedule(schedule, total_steps, optimizer.learning_rate)


def has_own_way(optimizer: OptimizerOptions) -> bool:
    """Whether the optimizer takes the place of a schedule. Errors: BadOption."""
    return is_schedule_free(optimizer_name(optimizer)) or sets_its_rates(optimizer)


def check_part_rates(optimizer: OptimizerOptions, parts: PartRates) -> None:
    """D-Adaptation and Prodigy find one factor for one rate. Errors: BadOption."""
    name, same = optimizer_name(optimizer), (None, 0, optimizer.learning_rate)
    apart = [option for option, rate in parts.text_rates.items() if not parts.frozen_by and rate not in same]
    if any(rate not in same for rate in parts.block_rates or []):
        apart.append("block_lr")
    if apart and finds_its_rate(name):
        sentence = f"{name} takes one learning rate for everything: leave --{apart[0]} out, or set it to 0."
        raise BadOption(apart[0], sentence)


def rate_notices(optimizer: OptimizerOptions, schedule: ScheduleOptions, parts: PartRates) -> list[Notice]:
    """What a user should know of his choice before training begins. Errors: BadOption."""
    return [*_about_rates(optimizer, parts), *_about_schedule(optimizer, schedule)]


def warmup_notices(optimizer: OptimizerOptions, schedule: ScheduleOptions, total_steps: int) -> list[str]:
    """What is odd about the warm-up, once it is known how long training takes."""
    name = schedule_name(schedule)
    steps = steps_of("lr_warmup_steps", schedule.lr_warmup_steps, total_steps)
    if not steps or "lr_warmup_steps" not in SCHEDULES[name] or has_own_way(optimizer):
        return []
    as_asked = f"lr_scheduler constant with {steps:,} warm-up steps works as constant_with_warmup."
    too_long = f"The warm-up of {steps:,} steps never ends: there are {total_steps:,} steps in all."
    return [as_asked] * (name == "constant") + [too_long] * (steps >= total_steps)


def _about_rates(optimizer: OptimizerOptions, parts: PartRates) -> Iterator[Notice]:
    name, rate, option = optimizer_name(optimizer), optimizer.learning_rate, "learning_rate"
    own = {option: rate for option, rate in parts.text_rates.items() if rate is not None}
    if finds_its_rate(name) and rate <= LOWEST_SCALE:
        yield Notice(option, f"--{option} {rate:g} is far too low for {name}, which scales it itself: use 1.")
    if sets_its_rates(optimizer):
        fixed = "--optimizer_args relative_step=False scale_parameter=False"
        rates = " and ".join(f"--{one}" for one in [option, *own, *(["block_lr"] if parts.block_rates else [])])
        yield Notice(option, f"{name} finds its learning rates itself, without {rates}. For a fixed rate: {fixed}.")
    if parts.block_rates:
        yield Notice(option, f"--{option} is not used for the U-Net: --block_lr gives its blocks their own.")
    for option, text_rate in own.items():
        if parts.frozen_by:
            yield Notice(option, f"--{option} has no effect: {parts.frozen_by}.")
        elif text_rate == 0:
            yield Notice(option, f"--{option} 0: its text encoder is not trained.")


def _about_schedule(optimizer: OptimizerOptions, schedule: ScheduleOptions) -> Iterator[Notice]:
    name, curve, option = optimizer_name(optimizer), schedule_name(schedule), "lr_scheduler"
    if schedule.lr_scheduler_type:
        unused, what = _given(schedule, "lr_scheduler_type", "lr_scheduler_args"), schedule.lr_scheduler_type
    elif has_own_way(optimizer):
        own = (option,) if curve == "adafactor" else ()
        unused, what = _given(schedule, *own), f"{name}, which has a way of its own in place of a schedule,"
    else:
        what = f"--{option} {curve}"
        unused = _given(schedule, option, *SCHEDULES[curve])
    if unused:
        yield Notice(unused[0], f"{what} does not use {' and '.join(f'--{one}' for one in unused)}.")
    if ":" in schedule.lr_scheduler:
        same = "is the same as adafactor: the rates are AdaFactor's own"
        yield Notice(option, f"--{option} {schedule.lr_scheduler} {same}.")
    if is_schedule_free(name) and "lr_warmup_steps" in unused:
        yield Notice("lr_warmup_steps", f"For a warm-up of {name} say --optimizer_args warmup_steps=...")
    if curve == "warmup_stable_decay" and not schedule.lr_decay_steps:
        advice = "such as 0.1 for the last tenth"
        yield Notice("lr_decay_steps", f"{curve} does not fall without --lr_decay_steps, {advice}.")
    if curve == "cosine_with_min_lr" and schedule.lr_scheduler_min_lr_ratio is None:
        lowest = "lr_scheduler_min_lr_ratio"
        yield Notice(lowest, f"{curve} falls to 0 without --{lowest}, such as 0.1.")


def _given(schedule: ScheduleOptions, *but: str) -> list[str]:
    """The options of the schedule that were given, without those in `but`."""
    plain: dict[str, Any] = vars(ScheduleOptions())
    return [option for option, value in vars(schedule).items() if value != plain[option] and option not in but]


def _check_scheduler_class(optimizer: OptimizerOptions, schedule: ScheduleOptions) -> None:
    option, name = "lr_scheduler_type", schedule.lr_scheduler_type
    if has_own_way(optimizer):
        own = optimizer_name(optimizer)
        raise BadOption(option, f"--{option} {name} has no place beside {own}, which has its own way. Leave it out.")
    if schedule.lr_warmup_steps:
        sentence = f"--lr_warmup_steps is not for --{option} {name}, which sets every step's rate. Leave one out."
        raise BadOption("lr_warmup_steps", sentence)
    schedule_arguments(schedule)
