"""The noise that is added to an item, and how much of it: drawn from where the item stands."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from torch.nn.functional import interpolate

from sd_scripts.library.data.training_data import Item
from sd_scripts.library.seeds import derive
from sd_scripts.options.noise import TIMESTEPS, NoiseOptions


@dataclass(frozen=True)
class Draw:
    """Where the randomness of an epoch's items comes from, and what kinds of noise are asked for.

    Each kind is drawn from a generator of its own, so that asking for one does not change the others.
    """

    seed: int
    epoch: int
    options: NoiseOptions = field(default_factory=NoiseOptions)

    def generator(self, item: Item, purpose: str) -> torch.Generator:
        """A generator of an item's own; on the CPU, so that every device draws the same numbers."""
        return torch.Generator().manual_seed(derive(self.seed, purpose, self.epoch, item.image, item.repeat))

    def noise(self, item: Item, clean_CHW: Tensor) -> Tensor:
        """noise_CHW for the scaled latents, to be removed: standard normal, then its offset, then coarser layers."""
        generator, options = self.generator(item, "noise"), self.options
        noise_CHW = torch.randn(clean_CHW.shape, generator=generator)
        if options.noise_offset:
            shift_C = torch.randn(clean_CHW.shape[0], generator=generator)
            noise_CHW = shifted(noise_CHW, shift_C, self._offset(item, options.noise_offset, clean_CHW))
        if options.multires_noise_iterations:
            noise_CHW = self._multires(item, noise_CHW, options.multires_noise_iterations)
        return noise_CHW

    def input_noise(self, item: Item, noise_CHW: Tensor) -> Tensor:
        """The noise that the latents are mixed with: that which is to be removed, perhaps with some more on top."""
        gamma = self.options.ip_noise_gamma
        if not gamma:
            return noise_CHW
        generator = self.generator(item, "ip_noise")
        more_CHW = torch.randn(noise_CHW.shape, generator=generator)
        strength = _strength(gamma, self.options.ip_noise_gamma_random_strength, generator)
        return perturbed(noise_CHW, more_CHW, strength)

    def timestep(self, item: Item) -> int:
        """One of the steps from min_timestep to just below max_timestep, each as likely as the others."""
        low, high = self.options.min_timestep or 0, self.options.max_timestep or TIMESTEPS
        return int(torch.randint(low, high, (), generator=self.generator(item, "timestep")))

    def _offset(self, item: Item, most: float, clean_CHW: Tensor) -> float | Tensor:
        generator = self.generator(item, "offset_strength")
        offset = _strength(most, self.options.noise_offset_random_strength, generator)
        scale = self.options.adaptive_noise_scale
        return offset if scale is None else adapted(offset, scale, clean_CHW.mean(dim=(1, 2)).cpu())

    def _multires(self, item: Item, noise_CHW: Tensor, iterations: int) -> Tensor:
        generator = self.generator(item, "multires")
        ratios = (2.0 + 2.0 * torch.rand(iterations, generator=generator)).tolist()
        channels, height, width = noise_CHW.shape
        sizes = layer_sizes(height, width, ratios)
        layers = [torch.randn(channels, *size, generator=generator) for size in sizes]
        return multires(noise_CHW, layers, self.options.multires_noise_discount)


def shifted(noise_CHW: Tensor, shift_C: Tensor, offset: float | Tensor) -> Tensor:
    """Noise whose every channel is moved as a whole by offset * shift; the offset may be one number a channel.

    Source: N. Guttenberg, "Diffusion with Offset Noise", 2023.
    """
    return noise_CHW + (offset * shift_C)[:, None, None]


def adapted(offset: float, scale: float, mean_C: Tensor) -> Tensor:
    """offset_C: the offset and scale * |mean| of the latents' channels, never below 0.

    Source: the option adaptive_noise_scale of kohya's sd-scripts.
    """
    return (offset + scale * mean_C.abs()).clamp(min=0.0)


def layer_sizes(height: int, width: int, ratios: Sequence[float]) -> list[tuple[int, int]]:
    """(height, width) of layer i: the full size divided by ratios[i] ** i, cut to whole numbers. Ends with a side of 1.

    Source: J. Whitaker, "Multi-Resolution Noise for Diffusion Model Training", 2023.
    """
    sizes = []
    for i, ratio in enumerate(ratios):
        sizes.append((max(1, int(height / ratio**i)), max(1, int(width / ratio**i))))
        if 1 in sizes[-1]:
            break
    return sizes


def multires(noise_CHW: Tensor, layers: Sequence[Tensor], discount: float) -> Tensor:
    """The noise and all layers, layer i enlarged and weakened to discount ** i, scaled to a standard deviation of 1.

    Source: J. Whitaker, "Multi-Resolution Noise for Diffusion Model Training", 2023.
    """
    size = noise_CHW.shape[1:]
    for i, layer_Chw in enumerate(layers):
        noise_CHW = noise_CHW + interpolate(layer_Chw[None], size=size, mode="bilinear")[0] * discount**i
    return noise_CHW / noise_CHW.std()


def perturbed(noise_CHW: Tensor, more_CHW: Tensor, strength: float) -> Tensor:
    """Noise with more noise on top, which the model is not asked to find.

    Source: Ning et al., "Input Perturbation Reduces Exposure Bias in Diffusion Models", 2023, algorithm 1.
    """
    return noise_CHW + strength * more_CHW


def _strength(most: float, random: bool, generator: torch.Generator) -> float:
    return most * float(torch.rand((), generator=generator)) if random else most
