"""Rules of a training's optimizer, learning rates and schedule."""

from collections.abc import Iterator
from difflib import get_close_matches

from kohya_gui import fixes
from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import rule
from kohya_gui.stages import TRAINERS
from sd_scripts.options.optimizer import (
    OPTIMIZER_GROUPS,
    OPTIMIZERS,
    SCHEDULES,
    finds_its_rate,
    is_schedule_free,
    optimizers_like,
)

# {method: (below this nothing is learnt, what is usual, above this everything else is forgotten)}
_RATES = {
    "full": (1e-8, 5e-6, 1e-4),
    "dreambooth": (1e-8, 2e-6, 1e-4),
    "lora": (3e-6, 1e-4, 1e-2),
    "inversion": (1e-5, 5e-3, 1e-1),
    "hypernetwork": (1e-8, 1e-5, 1e-2),
}
_PART_RATES = ("learning_rate_te", "learning_rate_te1", "learning_rate_te2")
# What D-Adaptation and Prodigy scale is about 1.
_LOWEST_SCALE = 0.1


@rule(*TRAINERS)
def names_known(draft: Draft) -> Iterator[Finding]:
    """Optimizer and schedule are known by name; an optimizer may also be a class with its module."""
    optimizer, schedule = draft.get("optimizer_type"), draft.get("lr_scheduler")
    if optimizer and "." not in optimizer and optimizer.lower() not in map(str.lower, OPTIMIZERS):
        like = list(optimizers_like(optimizer) or OPTIMIZER_GROUPS["usual"])
        use = [fixes.set_to(draft, "optimizer_type", name) for name in like[:2]]
        yield draft.error("optimizer_type", "check.no_optimizer", *use, value=optimizer, names=", ".join(like))
    if schedule.lower() not in SCHEDULES and not schedule.lower().startswith("adafactor:"):
        like = get_close_matches(schedule.lower(), SCHEDULES, n=1) or ["constant"]
        near = fixes.set_to(draft, "lr_scheduler", like[0])
        yield draft.error("lr_scheduler", "value.not_a_choice", near, value=schedule, choices=", ".join(SCHEDULES))


@rule(*TRAINERS)
def rate_usual(draft: Draft) -> Iterator[Finding]:
    """A learning rate far from the usual is most often a slip of the pen."""
    rate, optimizer = draft.get("learning_rate"), draft.get("optimizer_type")
    if rate is None or _adafactor_decides(draft):
        return
    if finds_its_rate(optimizer):
        if rate <= _LOWEST_SCALE:
            use = fixes.set_to(draft, "learning_rate", 1.0)
            yield draft.warning("learning_rate", "check.rate_scaled", use, rate=rate, optimizer=optimizer)
        return
    low, usual, high = _RATES[draft.stage.method or ""]
    if not low <= rate <= high and not finds_its_rate(optimizer):
        key = "check.rate_unusual" if draft.stage.saves_whole_models else "check.rate_unusual_beside"
        use = fixes.set_to(draft, "learning_rate", usual)
        yield draft.warning("learning_rate", key, use, rate=rate, usual=usual)


@rule(*TRAINERS)
def rates_agree(draft: Draft) -> Iterator[Finding]:
    """An optimizer that finds one factor takes one rate; a rate of what is not trained does nothing."""
    optimizer = draft.get("optimizer_type")
    for flag in (flag for flag in _PART_RATES if draft.get(flag) is not None):
        if "train_text_encoder" in draft.specs and not draft.get("train_text_encoder"):
            mend = (fixes.leave_out(draft, flag), fixes.turn_on(draft, "train_text_encoder"))
            yield draft.warning(flag, "check.text_encoder_off", *mend)
        elif finds_its_rate(optimizer) and draft.get(flag) not in (0, draft.get("learning_rate")):
            yield draft.error(flag, "check.one_rate", fixes.leave_out(draft, flag), optimizer=optimizer)


@rule(*TRAINERS)
def schedule_fits(draft: Draft) -> Iterator[Finding]:
    """Schedule-free optimizers and AdaFactor go their own way, and only AdaFactor has a schedule of its own."""
    schedule, warmup = draft.get("lr_scheduler").lower().partition(":")[0], draft.get("lr_warmup_steps")
    optimizer, adafactor = draft.get("optimizer_type"), _adafactor_decides(draft)
    own_way = adafactor or is_schedule_free(optimizer)
    if draft.get("lr_scheduler_type"):
        if own_way:
            mend = fixes.leave_out(draft, "lr_scheduler_type")
            yield draft.error("lr_scheduler_type", "check.no_scheduler_class", mend, optimizer=optimizer)
        elif warmup:
            keep = fixes.keep_each(draft, "lr_scheduler_type", "lr_warmup_steps")
            yield draft.error("lr_warmup_steps", "check.scheduler_class", *keep)
    elif schedule == "adafactor" and not adafactor:
        constant = fixes.set_to(draft, "lr_scheduler", "constant")
        own_rates = fixes.set_to(draft, "optimizer_type", "AdaFactor", optimizer_args="")
        yield draft.error("lr_scheduler", "check.adafactor_schedule", constant, own_rates)
    elif own_way and (warmup or schedule not in ("constant", "adafactor")):
        blamed = "lr_warmup_steps" if schedule in ("constant", "adafactor") else "lr_scheduler"
        mend = fixes.leave_out(draft, blamed)
        yield draft.warning(blamed, "check.schedule_unused", mend, optimizer=optimizer)
    elif schedule == "piecewise_constant" and "step_rules=" not in " ".join(draft.get("lr_scheduler_args") or []):
        steps = fixes.set_to(draft, "lr_scheduler_args", "step_rules=1:100,0.1:200,0.01")
        constant = fixes.set_to(draft, "lr_scheduler", "constant", lr_scheduler_args="")
        yield draft.error("lr_scheduler_args", "check.step_rules", steps, constant)


def _adafactor_decides(draft: Draft) -> bool:
    """AdaFactor finds its rates itself, unless it is told not to."""
    words = [word.replace(" ", "").lower() for word in draft.get("optimizer_args") or []]
    return draft.get("optimizer_type").lower() == "adafactor" and "relative_step=false" not in words
