"""How much each timestep counts: factors on the loss that follow from the schedule's signal-to-noise ratio (SNR)."""

from collections.abc import Callable

import torch
from torch import Tensor

from sd_scripts.options.noise import LossOptions

# Where almost no noise is left the SNR has no end; beyond this it counts as this.
_HIGHEST_SNR = 1000.0


def snr(alphas_T: Tensor) -> Tensor:
    """alpha-bar / (1 - alpha-bar) of each timestep; 0 where nothing of the picture is left."""
    return alphas_T / (1.0 - alphas_T)


def min_snr(snr_T: Tensor, gamma: float, velocity: bool) -> Tensor:
    """min(SNR, gamma) over SNR, or over SNR + 1 where velocity is predicted; without dividing by an SNR of 0.

    Source: Hang et al., "Efficient Diffusion Training via Min-SNR Weighting Strategy", 2023.
    """
    return snr_T.clamp(max=gamma) / (snr_T + 1.0) if velocity else (gamma / snr_T).clamp(max=1.0)


def like_noise(snr_T: Tensor) -> Tensor:
    """SNR / (SNR + 1): makes the loss of a predicted velocity that of the noise it implies.

    Source: Salimans and Ho, "Progressive Distillation for Fast Sampling of Diffusion Models", 2022, section 4.
    """
    bounded_T = snr_T.clamp(max=_HIGHEST_SNR)
    return bounded_T / (bounded_T + 1.0)


def with_velocity(snr_T: Tensor, share: float) -> Tensor:
    """1 + share * (SNR + 1) / SNR: the loss of predicted noise, and a share of the loss of the velocity it implies.

    Source: the option v_pred_like_loss of kohya's sd-scripts; the same paper as `like_noise`.
    """
    return 1.0 + share / like_noise(snr_T)


def debiased(snr_T: Tensor, velocity: bool) -> Tensor:
    """1 / sqrt(SNR), or 1 / (SNR + 1) where velocity is predicted.

    Source: Yu et al., "Unmasking Bias in Diffusion Model Training", 2023; for velocity, kohya's sd-scripts.
    """
    bounded_T = snr_T.clamp(max=_HIGHEST_SNR)
    return 1.0 / (bounded_T + 1.0) if velocity else bounded_T.rsqrt()


WEIGHTS: dict[str, Callable[[Tensor, float, bool], Tensor]] = {
    "min_snr_gamma": min_snr,
    "scale_v_pred_loss_like_noise_pred": lambda snr_T, _given, _velocity: like_noise(snr_T),
    "v_pred_like_loss": lambda snr_T, share, _velocity: with_velocity(snr_T, share),
    "debiased_estimation_loss": lambda snr_T, _given, velocity: debiased(snr_T, velocity),
}
"""{option: its factors, from (SNR of each timestep, the option's value, whether velocity is predicted)}."""


def timestep_weights(alphas_T: Tensor, velocity: bool, options: LossOptions) -> Tensor:
    """weights_T: all factors that are asked for, multiplied; ones without any.

    `alphas_T` are those of training, after zero_terminal_snr.
    """
    weights_T = torch.ones_like(alphas_T)
    for option, factors in WEIGHTS.items():
        if given := getattr(options, option):
            weights_T = weights_T * factors(snr(alphas_T), given, velocity)
    return weights_T
