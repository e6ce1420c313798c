"""The noise that training adds: coefficients of the 1000 steps, and the targets that follow from them."""

import torch
from torch import Tensor


def alphas_cumprod(steps: int, beta_start: float, beta_end: float) -> Tensor:
    """alpha-bar of each step (Ho et al. 2020, eq. 4), for betas whose square roots rise evenly ("scaled_linear")."""
    betas = torch.linspace(beta_start**0.5, beta_end**0.5, steps, dtype=torch.float32) ** 2
    return torch.cumprod(1.0 - betas, dim=0)


def with_zero_terminal_snr(alphas_T: Tensor) -> Tensor:
    """alpha-bar moved and stretched so that nothing of the picture is left at the last step; the first keeps its own.

    Source: Lin et al., "Common Diffusion Noise Schedules and Sample Steps are Flawed", 2023, algorithm 1.
    """
    roots_T = alphas_T.sqrt()
    first, last = roots_T[0], roots_T[-1]
    return ((roots_T - last) * first / (first - last)) ** 2


def betas(alphas_T: Tensor) -> Tensor:
    """The noise that each step adds (Ho et al. 2020, eq. 4, read the other way round)."""
    before_T = torch.cat([torch.ones(1), alphas_T[:-1]])
    return 1.0 - alphas_T / before_T


def noisy(alphas: Tensor, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
    """sqrt(alpha-bar) x + sqrt(1 - alpha-bar) noise (Ho et al. 2020, eq. 4)."""
    signal, spread = _coefficients(alphas, latents_BCHW, timesteps_B)
    return signal * latents_BCHW + spread * noise_BCHW


def velocity(alphas: Tensor, latents_BCHW: Tensor, noise_BCHW: Tensor, timesteps_B: Tensor) -> Tensor:
    """sqrt(alpha-bar) noise - sqrt(1 - alpha-bar) x (Salimans and Ho 2022, appendix D)."""
    signal, spread = _coefficients(alphas, latents_BCHW, timesteps_B)
    return signal * noise_BCHW - spread * latents_BCHW


def _coefficients(alphas: Tensor, like_BCHW: Tensor, timesteps_B: Tensor) -> tuple[Tensor, Tensor]:
    alpha_B111 = alphas[timesteps_B].view(-1, 1, 1, 1)
    return alpha_B111.sqrt().to(like_BCHW), (1.0 - alpha_B111).sqrt().to(like_BCHW)
