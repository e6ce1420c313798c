"""The data of fine-tuning: texts with latents where there are some, else with pixels. Imports torch late."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sd_scripts.library.data.buckets import BucketRules, Size, cover, latents_hw
from sd_scripts.library.data.caption_rules import CaptionRules, final_caption
from sd_scripts.library.data.images import UnreadableImage, open_image
from sd_scripts.library.data.latents import BrokenLatents, read_for_training
from sd_scripts.library.data.latents_files import LatentsFiles
from sd_scripts.library.data.plan import plan_batches
from sd_scripts.library.data.resize import fill_bucket
from sd_scripts.library.data.training_data import Example, Item, Moment, TrainImage
from sd_scripts.library.seeds import derive

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Showing:
    """How images are shown. `rules` are those of the pictures whose sizes were not prepared."""

    repeats: int = 1
    captions: CaptionRules = CaptionRules()
    rules: BucketRules | None = None


class FineTuneData:
    """A TrainingData of a metadata file.

    Its images may have latents (prepared on disk, or put here), plain or both plain and mirrored; the others give
    pixels, for the VAE. A batch is uniform: all latents or all pixels, so that the loop never mixes the two.
    """

    def __init__(self, images: list[TrainImage], latents: list[LatentsFiles], show: Showing) -> None:
        self.images: Sequence[TrainImage] = images
        self._latents = latents
        self._show = show
        self._memory: dict[tuple[int, bool], torch.Tensor] = {}
        self._left_out: set[int] = set()

    def plan(self, epoch: int, batch_size: int, seed: int) -> list[list[Item]]:
        """The batches of an epoch (from 0): every item once; each batch of one bucket, all latents or all pixels."""
        groups: defaultdict[tuple[Size, bool], list[Item]] = defaultdict(list)
        for index, image in enumerate(self.images):
            if index not in self._left_out:
                repeats = range(self._show.repeats)
                groups[image.bucket_px, self.has_latents(index)] += [Item(index, repeat) for repeat in repeats]
        return plan_batches(dict(sorted(groups.items())), batch_size, seed, epoch)

    def caption(self, item: Item, moment: Moment) -> str:
        """The final caption of an item."""
        return final_caption(self.images[item.image].text, self._show.captions, item, moment)

    def load(self, item: Item, moment: Moment) -> Example:
        """An item as it is trained. Where there are mirrored latents, half of the showings draw them.

        Errors: UnreadableImage.
        """
        caption = self.caption(item, moment)
        if not self.has_latents(item.image):
            return Example(item, caption, pixels_CHW=self.pixels(item.image))
        mirrored = self._has_mirrored(item.image) and derive(moment.seed, "flip", moment.epoch, *item) % 2 == 1
        return Example(item, caption, latents_CHW=self._read_latents(item.image, mirrored))

    def has_latents(self, index: int) -> bool:
        """Whether an image has latents, so that the VAE is not needed for it."""
        return (index, False) in self._memory or self._latents[index].plain is not None

    def uncached(self) -> list[int]:
        """The images without latents: those that `put_latents` is to be called for when latents are cached."""
        return [i for i in range(len(self.images)) if i not in self._left_out and not self.has_latents(i)]

    def pixels(self, index: int) -> "torch.Tensor":
        """pixels_CHW of an image in its bucket: float32, -1 to 1. Errors: UnreadableImage."""
        import numpy as np
        import torch

        image = self.images[index]
        picture = open_image(image.path)
        fit = self._show.rules.fit(picture.size) if self._show.rules else None
        if fit is None or fit.bucket_px != image.bucket_px:
            fit = cover(picture.size, image.bucket_px)
        pixels_HWC = fill_bucket(np.array(picture), fit)
        return torch.from_numpy(pixels_HWC).permute(2, 0, 1).float() / 127.5 - 1.0

    def put_latents(self, index: int, latents_CHW: "torch.Tensor", mirrored: bool = False) -> None:
        """Keeps an image's latents (not scaled) in memory. Plans made before are not valid any more."""
        if tuple(latents_CHW.shape[1:]) != latents_hw(self.images[index].bucket_px):
            raise ValueError(f"latents {tuple(latents_CHW.shape)} do not fit the bucket {self.images[index].bucket_px}")
        self._memory[index, mirrored] = latents_CHW.detach().float().cpu()

    def leave_out(self, index: int) -> None:
        """Takes an image that cannot be read out of all later plans."""
        self._left_out.add(index)

    def _has_mirrored(self, index: int) -> bool:
        return (index, True) in self._memory or self._latents[index].flipped is not None

    def _read_latents(self, index: int, mirrored: bool) -> "torch.Tensor":
        import torch

        if (index, mirrored) in self._memory:
            return self._memory[index, mirrored]
        files = self._latents[index]
        path = files.flipped if mirrored else files.plain
        if path is None:
            raise UnreadableImage("its latents are not there")
        try:
            return torch.from_numpy(read_for_training(path, self.images[index].bucket_px, mirrored))
        except BrokenLatents as error:
            raise UnreadableImage(f"its latents {path.name} cannot be used: {error}") from error
