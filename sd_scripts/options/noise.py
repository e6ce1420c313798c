"""Options of the noise that a model learns to remove, and of how far off it is said to be."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.spec import Range

LossType = Literal["l1", "l2", "huber", "smooth_l1"]
HuberSchedule = Literal["constant", "exponential", "snr"]

TIMESTEPS = 1000
"""Steps of noise in training: 0 is almost the picture, 999 almost only noise."""


@dataclass(kw_only=True)
class NoiseOptions:
    """The noise that the model learns to remove."""

    noise_offset: Annotated[float | None, Range(low=0.0)] = None
    """Adds a shift of the whole picture to the noise: very dark and very bright pictures are learnt. 0.05 to 0.1."""

    noise_offset_random_strength: bool = False
    """Each picture's noise offset is drawn anew, between 0 and noise_offset."""

    adaptive_noise_scale: float | None = None
    """Adds this times the strength of a picture's mean colour to its noise offset; may be negative."""

    multires_noise_iterations: Annotated[int | None, Range(low=0, high=64, zero="off")] = None
    """Adds this many layers of ever coarser noise, so that large areas are learnt better. 6 to 10."""

    multires_noise_discount: Annotated[float, Range(low=0.0)] = 0.3
    """How strong each layer of coarser noise is, compared to the one before. 0.1 to 0.8; more with more pictures."""

    ip_noise_gamma: Annotated[float | None, Range(low=0.0)] = None
    """Adds this much more noise to what the model sees than it is to remove: it learns to mend errors. 0.1."""

    ip_noise_gamma_random_strength: bool = False
    """Each picture's additional noise has a strength of its own, between 0 and ip_noise_gamma."""

    zero_terminal_snr: bool = False
    """The last timestep is pure noise: very dark and very bright pictures are learnt. For v_parameterization."""

    min_timestep: Annotated[int | None, Range(low=0, high=999)] = None
    """Smallest timestep that is trained (0 to 999; small ones are fine details). Empty: 0."""

    max_timestep: Annotated[int | None, Range(low=1, high=1000)] = None
    """Timesteps below this one are trained (1 to 1000; large ones are the composition). Empty: 1000."""


@dataclass(kw_only=True)
class LossOptions:
    """How far a prediction is said to be from its target, and how much each timestep counts."""

    loss_type: LossType = "l2"
    """How errors are counted: l2 squares them, l1 takes them as they are, huber and smooth_l1 go from l2 to l1."""

    huber_schedule: HuberSchedule = "snr"
    """How the threshold between l2 and l1 changes over the timesteps, for loss_type huber and smooth_l1."""

    huber_c: Annotated[float, Range(low=0.0)] = 0.1
    """Threshold between l2 and l1: the smaller, the less outliers count. It grows where there is less noise."""

    huber_scale: Annotated[float, Range(low=0.0)] = 1.0
    """Multiplies the threshold of huber_schedule constant and exponential."""

    min_snr_gamma: Annotated[float | None, Range(low=0.0, zero="off")] = None
    """Timesteps with little noise count less, so that training settles sooner. 5 is usual; smaller is stronger."""

    debiased_estimation_loss: bool = False
    """Timesteps with much noise count more, those with little noise less."""

    scale_v_pred_loss_like_noise_pred: bool = False
    """Weighs the timesteps of a model that predicts velocity as if it predicted noise."""

    v_pred_like_loss: Annotated[float | None, Range(low=0.0)] = None
    """Adds this share of the loss that a model predicting velocity would have. For models that predict noise. 0.1."""


NEEDED: dict[str, str] = {
    "noise_offset_random_strength": "noise_offset",
    "multires_noise_discount": "multires_noise_iterations",
    "ip_noise_gamma_random_strength": "ip_noise_gamma",
}
"""Options of noise that do nothing without another one."""

HUBER_LOSSES: tuple[LossType, ...] = ("huber", "smooth_l1")
"""The losses that have a threshold: huber_schedule and huber_c do nothing with the others."""

HUBER_SCALED: tuple[HuberSchedule, ...] = ("constant", "exponential")
"""The schedules of the threshold that huber_scale multiplies."""
