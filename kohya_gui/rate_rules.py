"""Rules of a training's optimizer, learning rates and schedule."""

from collections.abc import Iterator

from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import rule
from sd_scripts.options.optimizer import (
    OPTIMIZER_GROUPS,
    OPTIMIZERS,
    SCHEDULES,
    finds_its_rate,
    is_schedule_free,
    optimizers_like,
)

# A whole model forgets above this; below, nothing is learnt.
_HIGH_RATE, _LOW_RATE = 1e-4, 1e-8
# What D-Adaptation and Prodigy scale is about 1.
_LOWEST_SCALE = 0.1


@rule("train")
def names_known(draft: Draft) -> Iterator[Finding]:
    """Optimizer and schedule are known by name; an optimizer may also be a class with its module."""
    optimizer, schedule = draft.get("optimizer_type"), draft.get("lr_scheduler")
    if optimizer and "." not in optimizer and optimizer.lower() not in map(str.lower, OPTIMIZERS):
        names = ", ".join(optimizers_like(optimizer) or OPTIMIZER_GROUPS["usual"])
        yield draft.error("optimizer_type", "check.no_optimizer", value=optimizer, names=names)
    if schedule.lower() not in SCHEDULES and not schedule.lower().startswith("adafactor:"):
        yield draft.error("lr_scheduler", "value.not_a_choice", value=schedule, choices=", ".join(SCHEDULES))


@rule("train")
def rate_usual(draft: Draft) -> Iterator[Finding]:
    """A learning rate far from the usual is most often a slip of the pen."""
    rate, optimizer = draft.get("learning_rate"), draft.get("optimizer_type")
    if rate is None or _adafactor_decides(draft):
        return
    if finds_its_rate(optimizer):
        if rate <= _LOWEST_SCALE:
            yield draft.warning("learning_rate", "check.rate_scaled", rate=rate, optimizer=optimizer)
    elif not _LOW_RATE <= rate <= _HIGH_RATE:
        yield draft.warning("learning_rate", "check.rate_unusual", rate=rate)


@rule("train")
def rates_agree(draft: Draft) -> Iterator[Finding]:
    """An optimizer that finds one factor takes one rate; a rate of what is not trained does nothing."""
    rate_te, optimizer = draft.get("learning_rate_te"), draft.get("optimizer_type")
    if rate_te is None:
        return
    if not draft.get("train_text_encoder"):
        yield draft.warning("learning_rate_te", "check.text_encoder_off")
    elif finds_its_rate(optimizer) and rate_te not in (0, draft.get("learning_rate")):
        yield draft.error("learning_rate_te", "check.one_rate", optimizer=optimizer)


@rule("train")
def schedule_fits(draft: Draft) -> Iterator[Finding]:
    """Schedule-free optimizers and AdaFactor go their own way, and only AdaFactor has a schedule of its own."""
    schedule, warmup = draft.get("lr_scheduler").lower().partition(":")[0], draft.get("lr_warmup_steps")
    optimizer, adafactor = draft.get("optimizer_type"), _adafactor_decides(draft)
    own_way = adafactor or is_schedule_free(optimizer)
    if draft.get("lr_scheduler_type"):
        if own_way:
            yield draft.error("lr_scheduler_type", "check.no_scheduler_class", optimizer=optimizer)
        elif warmup:
            yield draft.error("lr_warmup_steps", "check.scheduler_class")
    elif schedule == "adafactor" and not adafactor:
        yield draft.error("lr_scheduler", "check.adafactor_schedule")
    elif own_way and (warmup or schedule not in ("constant", "adafactor")):
        blamed = "lr_warmup_steps" if schedule in ("constant", "adafactor") else "lr_scheduler"
        yield draft.warning(blamed, "check.schedule_unused", optimizer=optimizer)
    elif schedule == "piecewise_constant" and "step_rules=" not in " ".join(draft.get("lr_scheduler_args") or []):
        yield draft.error("lr_scheduler_args", "check.step_rules")


def _adafactor_decides(draft: Draft) -> bool:
    """AdaFactor finds its rates itself, unless it is told not to."""
    words = [word.replace(" ", "").lower() for word in draft.get("optimizer_args") or []]
    return draft.get("optimizer_type").lower() == "adafactor" and "relative_step=false" not in words
