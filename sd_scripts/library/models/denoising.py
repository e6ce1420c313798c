"""From noise to latents, step by step: the loop of every picture that is drawn, in training or afterwards."""

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

Predict = Callable[[Tensor, Tensor], Tensor]
"""(noisy_BCHW, timesteps_B) -> prediction_BCHW."""
Place = Callable[[Tensor, int], Tensor]
"""(latents_BCHW, number of the step from 0) -> latents_BCHW as they are to go on."""


@dataclass(frozen=True)
class Guidance:
    """How closely texts are followed: a scale for each picture, of which all or none are above 1, where negative texts
    begin to count. `negative_scale`: the negative text pushes away by itself, None: it is what the prompt is compared
    with."""

    scales: Sequence[float]
    negative_scale: float | None = None

    def rows(self, prompts: Sequence[str], negatives: Sequence[str]) -> list[str]:
        """The texts whose predictions are needed: as many rows for each picture as `parts`."""
        if self.parts == 1:
            return list(prompts)
        empty = [] if self.negative_scale is None else [""] * len(prompts)
        return [*negatives, *prompts, *empty]

    @property
    def parts(self) -> int:
        """How many predictions make one."""
        if self.scales[0] <= 1.0:
            return 1
        return 2 if self.negative_scale is None else 3

    def combined(self, prediction_NCHW: Tensor, scales_B111: Tensor) -> Tensor:
        """prediction_BCHW, by classifier-free guidance (Ho and Salimans, 2022, equation 6)."""
        if self.parts == 1:
            return prediction_NCHW
        negative_BCHW, with_BCHW, *empty = prediction_NCHW.chunk(self.parts)
        if self.negative_scale is None:
            return negative_BCHW + scales_B111 * (with_BCHW - negative_BCHW)
        away_BCHW = self.negative_scale * (negative_BCHW - empty[0])
        return empty[0] + scales_B111 * (with_BCHW - empty[0]) - away_BCHW


def first_noise(shape_CHW: tuple[int, int, int], generators: Sequence[torch.Generator]) -> Tensor:
    """noise_BCHW, each picture's from its own generator."""
    return torch.cat([torch.randn((1, *shape_CHW), generator=generator) for generator in generators])


def denoise(
    predict: Predict,
    scheduler: Any,
    latents_BCHW: Tensor,
    guidance: Guidance,
    generators: Sequence[torch.Generator],
    timesteps: Tensor | None = None,
    after_step: Place | None = None,
) -> Tensor:
    """latents_BCHW without noise. `timesteps`: those that are left of the scheduler's, None: all of them."""
    # Only some schedulers add noise on their way.
    draws = "generator" in inspect.signature(scheduler.step).parameters
    extra: dict[str, Any] = {"generator": list(generators)} if draws else {}
    # Once: what comes from the host in each step would have it wait for the device.
    scales_B111 = latents_BCHW.new_tensor(guidance.scales).view(-1, 1, 1, 1)
    for number, timestep in enumerate(scheduler.timesteps if timesteps is None else timesteps):
        scaled_NCHW = scheduler.scale_model_input(latents_BCHW, timestep).repeat(guidance.parts, 1, 1, 1)
        prediction_NCHW = predict(scaled_NCHW, timestep.repeat(len(scaled_NCHW)))
        step = scheduler.step(guidance.combined(prediction_NCHW, scales_B111), timestep, latents_BCHW, **extra)
        latents_BCHW = step.prev_sample
        if after_step:
            latents_BCHW = after_step(latents_BCHW, number)
    return latents_BCHW
