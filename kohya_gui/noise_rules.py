"""Rules of noise and loss in training: what contradicts, and what would do nothing."""

from collections.abc import Iterator

from kohya_gui import fixes
from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.rules import rule
from kohya_gui.stages import TRAINERS
from sd_scripts.options.noise import HUBER_LOSSES, HUBER_SCALED, NEEDED, TIMESTEPS

# What is usually chosen of an option that another one needs.
_USUAL = {"noise_offset": 0.05, "ip_noise_gamma": 0.05, "multires_noise_iterations": 6}


def _either(draft: Draft, flag: str, needed: str) -> tuple[Fix, ...]:
    """Without the option, or with what it needs."""
    return (fixes.leave_out(draft, flag), fixes.set_to(draft, needed, _USUAL[needed]))


@rule(*TRAINERS)
def noise_has_its_needs(draft: Draft) -> Iterator[Finding]:
    """An option that changes another one does nothing without it; the adaptive scale may not stand alone."""
    if draft.get("adaptive_noise_scale") and not draft.get("noise_offset"):
        flag, needed = "adaptive_noise_scale", "noise_offset"
        yield draft.error(flag, "check.needs", *_either(draft, flag, needed), needed=needed)
    for flag, needed in NEEDED.items():
        if flag in draft.values and not draft.get(needed):
            yield draft.warning(flag, "check.idle_without", *_either(draft, flag, needed), needed=needed)


@rule(*TRAINERS)
def loss_fits_the_prediction(draft: Draft) -> Iterator[Finding]:
    """Some losses are for models that predict velocity, some for those that predict noise."""
    velocity = draft.get("v_parameterization")
    if draft.get("scale_v_pred_loss_like_noise_pred") and not velocity:
        flag = "scale_v_pred_loss_like_noise_pred"
        mend = (fixes.turn_off(draft, flag), fixes.turn_on(draft, "v_parameterization"))
        yield draft.error(flag, "check.needs", *mend, needed="v_parameterization")
    if draft.get("v_pred_like_loss") and velocity:
        keep = fixes.keep_each(draft, "v_pred_like_loss", "v_parameterization")
        yield draft.error("v_pred_like_loss", "check.not_with", *keep, other="v_parameterization")


@rule(*TRAINERS)
def timesteps_left(draft: Draft) -> Iterator[Finding]:
    """There are timesteps to train, and with zero terminal SNR their weights have an end."""
    low, high = draft.get("min_timestep") or 0, draft.get("max_timestep") or TIMESTEPS
    if low >= high:
        yield draft.error("min_timestep", "check.timesteps", fixes.leave_out(draft, "min_timestep", "max_timestep"))
    if draft.get("zero_terminal_snr") and not draft.get("v_parameterization"):
        yield draft.warning("zero_terminal_snr", "check.zero_snr", fixes.turn_off(draft, "zero_terminal_snr"))
        for flag in ("debiased_estimation_loss", "v_pred_like_loss"):
            if draft.get(flag) and high == TIMESTEPS:
                last = fixes.set_to(draft, "max_timestep", TIMESTEPS - 1)
                yield draft.error(flag, "check.infinite", last, fixes.leave_out(draft, flag))


@rule(*TRAINERS)
def huber_has_its_loss(draft: Draft) -> Iterator[Finding]:
    """The threshold is that of huber and smooth_l1, and its scale that of two schedules; at 0 nothing is left."""
    loss, schedule = draft.get("loss_type"), draft.get("huber_schedule")
    for flag in ("huber_schedule", "huber_c", "huber_scale"):
        if draft.get(flag) == 0:
            yield draft.error(flag, "check.no_loss", fixes.leave_out(draft, flag))
        elif flag in draft.values and loss not in HUBER_LOSSES:
            mend = (fixes.leave_out(draft, flag), fixes.set_to(draft, "loss_type", HUBER_LOSSES[0]))
            yield draft.warning(flag, "check.idle_with", *mend, other=f"loss_type {loss}")
        elif flag == "huber_scale" and flag in draft.values and schedule not in HUBER_SCALED:
            mend = (fixes.leave_out(draft, flag), fixes.set_to(draft, "huber_schedule", HUBER_SCALED[0]))
            yield draft.warning(flag, "check.idle_with", *mend, other=f"huber_schedule {schedule}")
