"""The noise that is added to an item, and how much of it: drawn from where the item stands."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from sd_scripts.library.data.training_data import Item
from sd_scripts.library.seeds import derive

TRAINING_TIMESTEPS = 1000


@dataclass(frozen=True)
class Draw:
    """Where the randomness of an epoch's items comes from. `noise_offset` None: none is added."""

    seed: int
    epoch: int
    noise_offset: float | None = None

    def generator(self, item: Item, purpose: str) -> torch.Generator:
        """A generator of an item's own; on the CPU, so that every device draws the same numbers."""
        return torch.Generator().manual_seed(derive(self.seed, purpose, self.epoch, item.image, item.repeat))

    def noise(self, item: Item, shape_CHW: Sequence[int]) -> torch.Tensor:
        """noise_CHW: standard normal, shifted by the noise offset."""
        generator = self.generator(item, "noise")
        noise_CHW = torch.randn(*shape_CHW, generator=generator)
        if self.noise_offset is None:
            return noise_CHW
        return shifted(noise_CHW, torch.randn(shape_CHW[0], generator=generator), self.noise_offset)

    def timestep(self, item: Item) -> int:
        """One of the schedule's steps, each as likely as the others."""
        return int(torch.randint(0, TRAINING_TIMESTEPS, (), generator=self.generator(item, "timestep")))


def shifted(noise_CHW: torch.Tensor, shift_C: torch.Tensor, offset: float) -> torch.Tensor:
    """Noise whose every channel is moved as a whole by offset * shift.

    Source: N. Guttenberg, "Diffusion with Offset Noise", 2023.
    """
    return noise_CHW + offset * shift_C[:, None, None]
