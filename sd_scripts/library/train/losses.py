"""Losses, each one number per item."""

import torch


def mse_per_item(prediction_BCHW: torch.Tensor, target_BCHW: torch.Tensor) -> torch.Tensor:
    """losses_B: the mean squared error of each item, in float32.

    Source: Ho et al., "Denoising Diffusion Probabilistic Models", 2020, equation 14.
    """
    return (prediction_BCHW.float() - target_BCHW.float()).square().mean(dim=(1, 2, 3))
