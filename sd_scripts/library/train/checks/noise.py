"""What must be true of the options of noise and loss, and which of them do nothing. Needs no torch."""

from collections.abc import Iterator

from sd_scripts.library.errors import BadOption
from sd_scripts.library.notice import Notice
from sd_scripts.options.noise import HUBER_LOSSES, HUBER_SCALED, NEEDED, TIMESTEPS, LossOptions, NoiseOptions
from sd_scripts.options.trainer import TrainerOptions


def check_noise(options: TrainerOptions) -> None:
    """Refuses options of noise and loss that contradict each other or leave nothing to learn. Errors: BadOption."""
    noise, loss, velocity = options.noise, options.loss, options.model.v_parameterization
    if noise.adaptive_noise_scale and not noise.noise_offset:
        raise BadOption("adaptive_noise_scale", "--adaptive_noise_scale needs a --noise_offset above 0, to add to.")
    if loss.scale_v_pred_loss_like_noise_pred and not velocity:
        option = "scale_v_pred_loss_like_noise_pred"
        raise BadOption(option, f"--{option} needs --v_parameterization: it is for models that predict velocity.")
    if loss.v_pred_like_loss and velocity:
        sentence = "--v_pred_like_loss is not for --v_parameterization, whose loss is that of velocity already."
        raise BadOption("v_pred_like_loss", f"{sentence} Leave one of them out.")
    check_timesteps(noise)
    for option in ("huber_c", "huber_scale"):
        if getattr(loss, option) == 0.0:
            default = getattr(LossOptions(), option)
            raise BadOption(option, f"--{option} 0 leaves no loss to learn from. Use more than 0, such as {default}.")
    if noise.zero_terminal_snr and not velocity:
        check_finite(noise, loss)


def check_timesteps(noise: NoiseOptions) -> None:
    """There is a timestep between the smallest and the largest."""
    low, high = noise.min_timestep or 0, noise.max_timestep or TIMESTEPS
    if low >= high:
        sentence = f"--min_timestep {low} must be less than --max_timestep {high}, which is not trained itself."
        raise BadOption("min_timestep", sentence)


def check_finite(noise: NoiseOptions, loss: LossOptions) -> None:
    """Some weights divide by the signal-to-noise ratio, which is 0 at the last timestep."""
    last_is_used = (noise.max_timestep or TIMESTEPS) == TIMESTEPS
    for option in ("debiased_estimation_loss", "v_pred_like_loss"):
        if getattr(loss, option) and last_is_used:
            sentence = f"--{option} gives the last timestep of --zero_terminal_snr an infinite weight"
            raise BadOption(option, f"{sentence}: add --max_timestep {TIMESTEPS - 1}.")


def idle_options(options: TrainerOptions) -> Iterator[Notice]:
    """A sentence for each option of noise and loss that is given and does nothing, or not what it is for."""
    noise, loss = options.noise, options.loss
    for option, needed in NEEDED.items():
        if _changed(noise, option) and not getattr(noise, needed):
            yield Notice(option, f"--{option} does nothing without --{needed}.")
    for option in ("huber_schedule", "huber_c", "huber_scale"):
        if _changed(loss, option) and loss.loss_type not in HUBER_LOSSES:
            losses = " and ".join(HUBER_LOSSES)
            yield Notice(option, f"--{option} does nothing with --loss_type {loss.loss_type}: it is for {losses}.")
    if _changed(loss, "huber_scale") and loss.loss_type in HUBER_LOSSES and loss.huber_schedule not in HUBER_SCALED:
        sentence = f"--huber_scale does nothing with --huber_schedule {loss.huber_schedule}."
        yield Notice("huber_scale", sentence)
    if noise.zero_terminal_snr and not options.model.v_parameterization:
        yield Notice(
            "zero_terminal_snr",
            "--zero_terminal_snr is for models that predict velocity (--v_parameterization): one that predicts noise"
            " has nothing to learn at the last timestep, and other programs draw its pictures wrongly.",
        )


def _changed(group: NoiseOptions | LossOptions, option: str) -> bool:
    return bool(getattr(group, option) != getattr(type(group)(), option))
