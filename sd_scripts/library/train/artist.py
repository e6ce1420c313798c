"""Draws sample prompts with the model as it stands, those that go with each other at once."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from sd_scripts.library.data.training_data import uncut
from sd_scripts.library.models.denoising import Guidance, denoise, first_noise
from sd_scripts.library.models.family import Family
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.prompts import Prompt
from sd_scripts.library.train.texts import Texts


@dataclass(frozen=True)
class Sketch:
    """A picture to draw. `index`: its prompt's place, from 0; `seed`: that of its noise."""

    index: int
    prompt: Prompt
    sampler: str
    seed: int

    @property
    def size_px(self) -> tuple[int, int]:
        """Width and height."""
        return self.prompt.width, self.prompt.height

    @property
    def kind(self) -> tuple[object, ...]:
        """What is the same for all that are drawn at once. Up to a scale of 1 negative prompts do not count."""
        return *self.size_px, self.prompt.sample_steps, self.sampler, self.prompt.scale > 1.0


def batches(sketches: Sequence[Sketch], size: int) -> Iterator[list[Sketch]]:
    """Those that can be drawn at once, at most `size` of them, in the order in which the first ones stand."""
    kinds: dict[tuple[object, ...], list[Sketch]] = {}
    for sketch in sketches:
        kinds.setdefault(sketch.kind, []).append(sketch)
    parts = (alike[start : start + size] for alike in kinds.values() for start in range(0, len(alike), size))
    return iter(sorted(parts, key=lambda batch: batch[0].index))


@dataclass(frozen=True)
class Artist:
    """Draws with a family's model. A picture is the same alone or beside others, up to rounding."""

    family: Family
    texts: Texts
    encoder: Encoder
    accelerator: Any
    seed: int

    @torch.no_grad()
    def draw(self, sketches: Sequence[Sketch]) -> torch.Tensor:
        """latents_BCHW of pictures of one kind, scaled. Each has its noise from a generator of its own."""
        first, device = sketches[0], self.accelerator.device
        generators = [torch.Generator().manual_seed(sketch.seed) for sketch in sketches]
        scheduler = self.family.sampling_scheduler(first.sampler)
        scheduler.set_timesteps(first.prompt.sample_steps, device=device)
        guidance = Guidance([sketch.prompt.scale for sketch in sketches])
        prompts = [sketch.prompt.prompt for sketch in sketches]
        captions = guidance.rows(prompts, [sketch.prompt.negative_prompt for sketch in sketches])
        sizes_N6 = torch.tensor([uncut(first.size_px).numbers()] * len(captions))
        conditions = self.texts.encode_prompts(captions) | {"sizes_B6": sizes_N6.to(device)}
        width, height = first.size_px
        noise_BCHW = first_noise((4, height // 8, width // 8), generators).to(device)

        def predict(noisy_NCHW: torch.Tensor, timesteps_N: torch.Tensor) -> torch.Tensor:
            with self.accelerator.autocast():
                return self.family.predict(noisy_NCHW, timesteps_N, conditions).float()

        return denoise(predict, scheduler, noise_BCHW * scheduler.init_noise_sigma, guidance, generators)

    def decode(self, latents_CHW: torch.Tensor) -> torch.Tensor:
        """pixels_CHW in -1 to 1. One at a time: its memory grows with each picture, far above the U-Net's, and four at
        once gain 7 to 18 % of its own time on a CPU with small pictures (benchmarks/sampling.py)."""
        return self.encoder.decode(latents_CHW[None] / self.family.latent_scale)[0]
