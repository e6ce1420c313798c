"""Latents made once, before training, and kept in memory."""

from collections import defaultdict
from dataclasses import replace
from typing import Protocol

import torch

from sd_scripts.library.data.loader import Readers, prefetch
from sd_scripts.library.data.training_data import Example, Item, TrainingData
from sd_scripts.library.report import Report
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.batches import NOT_NUMBERS, Encoder


class CacheableData(TrainingData, Protocol):
    """Training data that can take latents for its pictures."""

    def uncached(self) -> list[int]:
        """The images without latents."""

    def unchanged(self, index: int) -> Example:
        """An image as it is seen when nothing is drawn by lot: pixels, and its mask if any. Errors: UnreadableImage."""

    def mirrors(self, index: int) -> bool:
        """Whether latents of the mirror image are to be put as well."""

    def put_latents(
        self, index: int, latents_CHW: torch.Tensor, mirrored: bool = False, mask_HW: torch.Tensor | None = None
    ) -> None:
        """Keeps an image's latents, not scaled, with their mask."""

    def leave_out(self, index: int) -> None:
        """Takes an image out of all later plans."""


def cache_latents(
    data: CacheableData, encoder: Encoder, batch_size: int, readers: Readers, seed: int, report: Report
) -> None:
    """Makes the latents that are missing, in batches of one size; leaves out what cannot be read.

    A sample depends on the seed and its image, not on the batch. Ends early when a stop is asked for.
    """
    missing = data.uncached()
    report.phase("cache_latents", f"Making latents of {len(missing):,} pictures", len(missing))

    def failed(item: Item, reason: str) -> None:
        data.leave_out(item.image)
        report.failed_item(data.images[item.image].key, reason)

    def load(item: Item) -> Example:
        return data.unchanged(item.image)

    def make(examples: list[Example], mirrored: bool) -> list[Example]:
        """Puts the examples' latents; gives those examples that have some now."""
        kept = []
        for example, latents_CHW in _encoded(examples, encoder, seed, mirrored):
            if torch.isfinite(latents_CHW).all():
                data.put_latents(example.item.image, latents_CHW, mirrored, example.mask_HW)
                kept.append(example)
            else:
                failed(example.item, f"{NOT_NUMBERS}; add --no_half_vae")
        return kept

    done = 0
    batches = _batches(data, missing, batch_size)
    for batch, examples in zip(batches, prefetch(batches, load, readers, failed), strict=True):
        kept = make(examples, mirrored=False)
        make([_mirrored(example) for example in kept if data.mirrors(example.item.image)], mirrored=True)
        done += len(batch)
        report.progress(done, len(missing))
        if report.stop_asked():
            return


def _mirrored(example: Example) -> Example:
    assert example.pixels_CHW is not None
    mask_HW = None if example.mask_HW is None else example.mask_HW.flip(-1)
    return replace(example, pixels_CHW=example.pixels_CHW.flip(-1), mask_HW=mask_HW)


def _encoded(
    examples: list[Example], encoder: Encoder, seed: int, mirrored: bool
) -> list[tuple[Example, torch.Tensor]]:
    if not examples:
        return []
    purpose = "cache_mirrored" if mirrored else "cache"
    generators = [torch.Generator().manual_seed(derive(seed, purpose, example.item.image)) for example in examples]
    pixels_BCHW = torch.stack([example.pixels_CHW for example in examples])
    latents_BCHW = encoder.encode(pixels_BCHW, generators).cpu()
    return list(zip(examples, latents_BCHW, strict=True))


def _batches(data: CacheableData, images: list[int], batch_size: int) -> list[list[Item]]:
    by_size: defaultdict[tuple[int, int], list[Item]] = defaultdict(list)
    for image in images:
        by_size[data.images[image].bucket_px].append(Item(image, 0))
    groups = by_size.values()
    return [group[start : start + batch_size] for group in groups for start in range(0, len(group), batch_size)]
