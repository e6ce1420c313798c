"""Which schedule the options ask for: a curve by name, or a scheduler class of torch or another package."""

import difflib
import inspect
import math
from typing import TYPE_CHECKING, Any, Protocol

from sd_scripts.library.errors import BadOption, TrainingFailed
from sd_scripts.library.train.arguments import check_arguments, load_named, read_arguments
from sd_scripts.library.train.curves import CURVES, Schedule, Shape

if TYPE_CHECKING:
    import torch

# The texts among the schedules' arguments.
_TEXTS = ("step_rules", "warmup_type", "decay_type")


class ScheduleSettings(Protocol):
    """The options of a schedule (options.optimizer.ScheduleOptions)."""

    lr_scheduler: str
    lr_scheduler_type: str
    lr_scheduler_args: list[str] | None
    lr_warmup_steps: int | float
    lr_decay_steps: int | float
    lr_scheduler_num_cycles: int
    lr_scheduler_power: float
    lr_scheduler_timescale: int | None
    lr_scheduler_min_lr_ratio: float | None


def schedule_arguments(settings: ScheduleSettings) -> dict[str, Any]:
    """{name: value} of lr_scheduler_args. Errors: BadOption."""
    return read_arguments(settings.lr_scheduler_args, "lr_scheduler_args", _TEXTS)


def make_schedule(settings: ScheduleSettings, total_steps: int, learning_rate: float) -> Schedule:
    """The curve that the options ask for. `constant` with a warm-up is constant_with_warmup. Errors: BadOption."""
    name = schedule_name(settings)
    arguments = schedule_arguments(settings)
    check_arguments(CURVES[name], arguments, "lr_scheduler_args", f"The schedule {name}", ("shape",))
    shape = Shape(
        total_steps=total_steps,
        warmup_steps=steps_of("lr_warmup_steps", settings.lr_warmup_steps, total_steps),
        decay_steps=steps_of("lr_decay_steps", settings.lr_decay_steps, total_steps),
        learning_rate=learning_rate,
        cycles=settings.lr_scheduler_num_cycles,
        power=settings.lr_scheduler_power,
        timescale=settings.lr_scheduler_timescale,
        min_ratio=settings.lr_scheduler_min_lr_ratio or 0.0,
    )
    return CURVES[name](shape, **arguments)


def schedule_name(settings: ScheduleSettings) -> str:
    """The schedule's name in lower case; of `adafactor:1e-3` the name alone. Errors: BadOption, for an unknown one."""
    name, colon, rate = settings.lr_scheduler.lower().partition(":")
    if name in CURVES and not colon:
        return name
    if name == "adafactor" and _is_number(rate):
        return name
    close = difflib.get_close_matches(name, CURVES, n=1, cutoff=0.5)
    hint = f"Did you mean {close[0]}?" if close else f"Use {', '.join(CURVES)}."
    raise BadOption("lr_scheduler", f'--lr_scheduler "{settings.lr_scheduler}": there is no such schedule. {hint}')


def _is_number(text: str) -> bool:
    try:
        return math.isfinite(float(text))
    except ValueError:
        return False


def steps_of(option: str, asked: int | float, total_steps: int) -> int:
    """Steps; a fraction, up to 1.0, is a share of all steps. Errors: BadOption, for a fraction above that."""
    if isinstance(asked, float) and asked <= 1.0:
        return round(asked * total_steps)
    if asked != int(asked):
        raise BadOption(option, f"--{option} {asked}: write whole steps, or a share of all steps below 1, such as 0.1.")
    return int(asked)


def make_scheduler(settings: ScheduleSettings, optimizer: "torch.optim.Optimizer") -> Any:
    """The scheduler object that lr_scheduler_type asks for, which steps after the optimizer; None without one.

    Errors: BadOption, NotInstalled.
    """
    name = settings.lr_scheduler_type
    if not name:
        return None
    module, _, class_name = name.rpartition(".")
    where = module or "torch.optim.lr_scheduler"
    builder = load_named(
        where, class_name, "lr_scheduler_type", where.partition(".")[0], "leave --lr_scheduler_type out"
    )
    arguments = schedule_arguments(settings)
    if not _makes_scheduler(builder):
        raise BadOption("lr_scheduler_type", f"--lr_scheduler_type {name} is no class of a scheduler.")
    try:
        check_arguments(builder, arguments, "lr_scheduler_args", name, ("optimizer",))
        scheduler = builder(optimizer, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError, KeyError) as error:
        reason = str(error).rstrip(".")
        raise BadOption("lr_scheduler_args", f"{name} does not take these arguments: {reason}.") from error
    _check_scheduler(scheduler, name)
    return scheduler


def _makes_scheduler(builder: Any) -> bool:
    """Whether it is a class whose objects step, or a function for an optimizer: nothing else is even called."""
    if inspect.isclass(builder):
        return hasattr(builder, "step")
    return inspect.isfunction(builder) and next(iter(inspect.signature(builder).parameters), "") == "optimizer"


def advance(scheduler: Any) -> None:
    """One step of a scheduler object. Errors: TrainingFailed, where it was told to end earlier."""
    try:
        scheduler.step()
    except ValueError as error:
        name = type(scheduler).__name__
        raise TrainingFailed(f"{name} cannot go on: {str(error).rstrip('.')}. Change --lr_scheduler_args.") from error


def _check_scheduler(scheduler: Any, name: str) -> None:
    if not all(hasattr(scheduler, needed) for needed in ("step", "state_dict", "load_state_dict")):
        sentence = f"--lr_scheduler_type {name} is no scheduler whose state can be saved, as torch's own can."
        raise BadOption("lr_scheduler_type", sentence)
    try:
        inspect.signature(scheduler.step).bind()
    except TypeError as error:
        sentence = f"--lr_scheduler_type {name} waits for a measured quality in each step, and there is none."
        raise BadOption("lr_scheduler_type", sentence) from error
