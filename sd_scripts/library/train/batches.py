"""From examples to what one forward pass needs: scaled latents, noise, timesteps, weights."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch

from sd_scripts.library.data.training_data import Example, Item, Sizes, TrainImage, uncut
from sd_scripts.library.models.family import Family
from sd_scripts.library.models.moving import moved
from sd_scripts.library.report import Report
from sd_scripts.library.train.feed import Loaded
from sd_scripts.library.train.noise import Draw

NOT_NUMBERS = "its latents are not numbers"

# An example with its latents (CHW).
Made = tuple[Example, torch.Tensor]


@dataclass(frozen=True)
class Batch:
    """Items of one size. Latents are scaled; `images`: the items' places in the dataset; `count` items are learnt.

    `noise_BCHW` is to be found, `input_noise_BCHW` is what the latents are mixed with: the same, or somewhat more.
    `sizes_B6` is what SDXL is told of the pictures' sizes (models/family.py, predict).
    `strength`: how strongly a network changes the model meanwhile.
    `mask_BHW`, of the latents' size, says from 0 to 1 how much each place counts; None: all count alike.
    """

    latents_BCHW: torch.Tensor
    noise_BCHW: torch.Tensor
    input_noise_BCHW: torch.Tensor
    timesteps_B: torch.Tensor
    weights_B: torch.Tensor
    sizes_B6: torch.Tensor
    captions: list[str]
    images: list[int]
    count: int
    mask_BHW: torch.Tensor | None = None
    strength: float = 1.0


class Encoder:
    """The VAE at work: without gradients, in the precision that was asked for. `stays`: it keeps its place."""

    def __init__(self, family: Family, accelerator: Any, full_precision: bool, stays: bool = False) -> None:
        self.device: torch.device = accelerator.device
        self._family = family
        self._accelerator = accelerator
        self._full_precision = full_precision
        self.stays = stays

    @property
    def precision(self) -> str:
        """The number format in which pictures are encoded: no (float32), fp16 or bf16."""
        return "no" if self._full_precision else str(self._accelerator.mixed_precision)

    def encode(self, pixels_BCHW: torch.Tensor, generators: list[torch.Generator]) -> torch.Tensor:
        """latents_BCHW, not scaled, in float32, on the device; each image's sample comes from its own generator."""
        with self._working():
            return self._family.encode_images(moved(pixels_BCHW, self.device), generators).float()

    def decode(self, latents_BCHW: torch.Tensor) -> torch.Tensor:
        """pixels_BCHW in -1 to 1 of unscaled latents."""
        with self._working():
            return self._family.decode_latents(latents_BCHW.to(self.device)).float()

    def rest(self) -> None:
        """Frees the device's memory until the VAE is needed again, unless it is to stay there."""
        if not self.stays:
            self._family.vae.to("cpu")
            torch.cuda.empty_cache()

    @contextmanager
    def _working(self) -> Iterator[None]:
        if self._family.vae.device.type != self.device.type:
            self._family.vae.to(self.device)
        with torch.no_grad():
            if self._full_precision:
                yield
            else:
                with self._accelerator.autocast():
                    yield


class BatchMaker:
    """Makes batches on the device. Items whose latents are not numbers are left out, once said and then silently."""

    def __init__(self, family: Family, encoder: Encoder, images: Sequence[TrainImage], report: Report) -> None:
        self._family = family
        self._encoder = encoder
        self._device = encoder.device
        self._images = images
        self._report = report
        self._told: set[int] = set()

    def make(self, loaded: Loaded, draw: Draw) -> Batch | None:
        """The batch of what was loaded; None when nothing of it is left."""
        made = [(example, self._latents(example, draw)) for example in loaded.examples]
        kept = self._numbers(made)
        if not kept:
            return None
        items = [example.item for example, _ in kept]
        scale = self._family.latent_scale
        noise = [draw.noise(example.item, latents_CHW * scale) for example, latents_CHW in kept]
        noise_BCHW = self._move(torch.stack(noise))
        weights = [0.0 if loaded.ghost else example.weight for example, _ in kept]
        return Batch(
            latents_BCHW=self._move(torch.stack([latents_CHW for _, latents_CHW in kept])) * scale,
            noise_BCHW=noise_BCHW,
            input_noise_BCHW=self._input_noise(items, noise, draw, noise_BCHW),
            timesteps_B=self._move(torch.tensor([draw.timestep(item) for item in items])),
            weights_B=self._move(torch.tensor(weights)),
            sizes_B6=self._move(torch.tensor([self._sizes(example).numbers() for example, _ in kept])),
            captions=[example.caption for example, _ in kept],
            images=[item.image for item in items],
            count=0 if loaded.ghost else len(kept),
            mask_BHW=self._masks([example for example, _ in kept], kept[0][1].shape[1:]),
            strength=kept[0][0].strength,
        )

    def _input_noise(
        self, items: list[Item], noise: list[torch.Tensor], draw: Draw, noise_BCHW: torch.Tensor
    ) -> torch.Tensor:
        """What the latents are mixed with: the noise itself, unless some more is asked for."""
        mixed = [draw.input_noise(item, noise_CHW) for item, noise_CHW in zip(items, noise, strict=True)]
        return noise_BCHW if mixed[0] is noise[0] else self._move(torch.stack(mixed))

    def _sizes(self, example: Example) -> Sizes:
        return example.sizes or uncut(self._images[example.item.image].bucket_px)

    def _masks(self, examples: list[Example], size_HW: torch.Size) -> torch.Tensor | None:
        """The items' masks; an item without one counts fully."""
        if all(example.mask_HW is None for example in examples):
            return None
        full_HW = torch.ones(size_HW)
        return self._move(torch.stack([full_HW if e.mask_HW is None else e.mask_HW for e in examples]))

    def _latents(self, example: Example, draw: Draw) -> torch.Tensor:
        if example.latents_CHW is not None:
            # They stay on the CPU until their batch is whole: looking at them does not wait for the device.
            return example.latents_CHW.float()
        assert example.pixels_CHW is not None
        # One at a time needs the least memory beside the U-Net's.
        return self._encoder.encode(example.pixels_CHW[None], [draw.generator(example.item, "vae")])[0]

    def _numbers(self, made: list[Made]) -> list[Made]:
        """Those whose latents are numbers. Of what was just encoded, the device is asked once for all of them."""
        if not made:
            return []
        finite = torch.stack([latents_CHW.isfinite().all() for _, latents_CHW in made]).tolist()
        for example, _ in (one for one, fine in zip(made, finite, strict=True) if not fine):
            self._tell_left_out(example)
        return [one for one, fine in zip(made, finite, strict=True) if fine]

    def _tell_left_out(self, example: Example) -> None:
        if example.item.image not in self._told:
            self._told.add(example.item.image)
            fix = "add --no_half_vae" if example.latents_CHW is None else "prepare its latents again"
            name = self._images[example.item.image].key
            self._report.failed_item(name, f"{NOT_NUMBERS}; {fix}")

    def _move(self, tensor: torch.Tensor) -> torch.Tensor:
        return moved(tensor, self._device)
