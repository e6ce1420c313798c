"""Losses, each one number per item: errors element by element, the mask's part in them, and the timestep's weight."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from sd_scripts.library.train.weighting import timestep_weights
from sd_scripts.options.noise import HuberSchedule, LossOptions, LossType

Elementwise = Callable[[Tensor, Tensor], Tensor]


def squared(error_BCHW: Tensor, _threshold_B111: Tensor) -> Tensor:
    """The square (Ho et al., "Denoising Diffusion Probabilistic Models", 2020, equation 14)."""
    return error_BCHW.square()


def absolute(error_BCHW: Tensor, _threshold_B111: Tensor) -> Tensor:
    """The distance."""
    return error_BCHW.abs()


def smooth_l1(error_BCHW: Tensor, threshold_B111: Tensor) -> Tensor:
    """2 (sqrt(error^2 + c^2) - c): about error^2 / c where errors are small, 2 |error| where they are large.

    Source: Charbonnier et al., "Two Deterministic Half-Quadratic Regularization Algorithms for Computed Imaging", 1994.
    """
    return 2.0 * ((error_BCHW.square() + threshold_B111.square()).sqrt() - threshold_B111)


def huber(error_BCHW: Tensor, threshold_B111: Tensor) -> Tensor:
    """c times smooth_l1: about error^2 where errors are small.

    Source: Khrapov et al., "Improving Diffusion Models's Data-Corruption Resistance using Scheduled Pseudo-Huber
    Loss", 2024.
    """
    return threshold_B111 * smooth_l1(error_BCHW, threshold_B111)


LOSSES: dict[LossType, Elementwise] = {"l1": absolute, "l2": squared, "huber": huber, "smooth_l1": smooth_l1}


def constant(alphas_T: Tensor, c: float, scale: float) -> Tensor:
    """c * scale at every timestep."""
    return torch.full_like(alphas_T, c * scale)


def exponential(alphas_T: Tensor, c: float, scale: float) -> Tensor:
    """scale * c ** (t / T): from scale down to nearly c * scale (Khrapov et al., 2024)."""
    steps_T = torch.arange(len(alphas_T), dtype=alphas_T.dtype, device=alphas_T.device)
    return scale * torch.exp(math.log(c) / len(alphas_T) * steps_T)


def by_snr(alphas_T: Tensor, c: float, _scale: float) -> Tensor:
    """(1 - c) / (1 + sigma)^2 + c, sigma the noise beside one part of picture; the scale has no part in it.

    Source: Khrapov et al., 2024, as kohya's sd-scripts have it.
    """
    sigmas_T = ((1.0 - alphas_T) / alphas_T).sqrt()
    return (1.0 - c) / (1.0 + sigmas_T).square() + c


THRESHOLDS: dict[HuberSchedule, Callable[[Tensor, float, float], Tensor]] = {
    "constant": constant,
    "exponential": exponential,
    "snr": by_snr,
}


@dataclass(frozen=True)
class Loss:
    """How far predictions are from their targets. `thresholds_T` and `weights_T` are looked up by timestep."""

    elementwise: Elementwise
    thresholds_T: Tensor
    weights_T: Tensor

    def per_item(
        self, prediction_BCHW: Tensor, target_BCHW: Tensor, timesteps_B: Tensor, mask_BHW: Tensor | None = None
    ) -> Tensor:
        """losses_B, in float32: the mean over all elements of an item, times its timestep's weight.

        Under a mask (0 to 1) each element counts as much as the mask says, and what is masked counts as no error: the
        sum is still divided by the number of all elements. So an item of which half is masked has about half the loss.
        """
        threshold_B111 = self.thresholds_T[timesteps_B].view(-1, 1, 1, 1)
        error_BCHW = self.elementwise(prediction_BCHW.float() - target_BCHW.float(), threshold_B111)
        if mask_BHW is not None:
            error_BCHW = error_BCHW * mask_BHW[:, None]
        return error_BCHW.mean(dim=(1, 2, 3)) * self.weights_T[timesteps_B]


def make_loss(alphas_T: Tensor, velocity: bool, options: LossOptions, device: torch.device) -> Loss:
    """The loss that the options ask for. `alphas_T` are those of training, after zero_terminal_snr."""
    thresholds_T = THRESHOLDS[options.huber_schedule](alphas_T, options.huber_c, options.huber_scale)
    weights_T = timestep_weights(alphas_T, velocity, options)
    return Loss(LOSSES[options.loss_type], thresholds_T.to(device), weights_T.to(device))
