"""Rules of noise and loss in training: what contradicts, and what would do nothing."""

from collections.abc import Iterator

from kohya_gui.draft import Draft, Finding
from kohya_gui.rules import rule
from sd_scripts.options.noise import HUBER_LOSSES, HUBER_SCALED, NEEDED, TIMESTEPS


@rule("train")
def noise_has_its_needs(draft: Draft) -> Iterator[Finding]:
    """An option that changes another one does nothing without it; the adaptive scale may not stand alone."""
    if draft.get("adaptive_noise_scale") and not draft.get("noise_offset"):
        yield draft.error("adaptive_noise_scale", "check.needs", needed="noise_offset")
    for flag, needed in NEEDED.items():
        if flag in draft.values and not draft.get(needed):
            yield draft.warning(flag, "check.idle_without", needed=needed)


@rule("train")
def loss_fits_the_prediction(draft: Draft) -> Iterator[Finding]:
    """Some losses are for models that predict velocity, some for those that predict noise."""
    velocity = draft.get("v_parameterization")
    if draft.get("scale_v_pred_loss_like_noise_pred") and not velocity:
        yield draft.error("scale_v_pred_loss_like_noise_pred", "check.needs", needed="v_parameterization")
    if draft.get("v_pred_like_loss") and velocity:
        yield draft.error("v_pred_like_loss", "check.not_with", other="v_parameterization")


@rule("train")
def timesteps_left(draft: Draft) -> Iterator[Finding]:
    """There are timesteps to train, and with zero terminal SNR their weights have an end."""
    low, high = draft.get("min_timestep") or 0, draft.get("max_timestep") or TIMESTEPS
    if low >= high:
        yield draft.error("min_timestep", "check.timesteps")
    if draft.get("zero_terminal_snr") and not draft.get("v_parameterization"):
        yield draft.warning("zero_terminal_snr", "check.zero_snr")
        for flag in ("debiased_estimation_loss", "v_pred_like_loss"):
            if draft.get(flag) and high == TIMESTEPS:
                yield draft.error(flag, "check.infinite")


@rule("train")
def huber_has_its_loss(draft: Draft) -> Iterator[Finding]:
    """The threshold is that of huber and smooth_l1, and its scale that of two schedules; at 0 nothing is left."""
    loss, schedule = draft.get("loss_type"), draft.get("huber_schedule")
    for flag in ("huber_schedule", "huber_c", "huber_scale"):
        if draft.get(flag) == 0:
            yield draft.error(flag, "check.no_loss")
        elif flag in draft.values and loss not in HUBER_LOSSES:
            yield draft.warning(flag, "check.idle_with", other=f"loss_type {loss}")
        elif flag == "huber_scale" and flag in draft.values and schedule not in HUBER_SCALED:
            yield draft.warning(flag, "check.idle_with", other=f"huber_schedule {schedule}")
