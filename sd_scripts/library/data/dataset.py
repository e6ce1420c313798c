"""The data of training: captions with latents where there are some, else with pixels. Imports torch late."""

from collections import defaultdict
from collections.abc import Sequence
from typing import TYPE_CHECKING

from sd_scripts.library.data.buckets import Size, cover, latents_hw
from sd_scripts.library.data.caption_rules import final_caption
from sd_scripts.library.data.images import UnreadableImage, open_image
from sd_scripts.library.data.latents import BrokenLatents, read_for_training
from sd_scripts.library.data.plan import Group, plan_batches
from sd_scripts.library.data.resize import fill_bucket
from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.subsets import Dataset
from sd_scripts.library.data.training_data import Example, Item, Moment, TrainImage
from sd_scripts.library.seeds import derive

if TYPE_CHECKING:
    import torch


class PictureData:
    """A TrainingData of pictures in datasets.

    They may have latents (prepared on disk, or put here), plain or both plain and mirrored; the others give pixels, for
    the VAE. A batch is uniform: of one dataset, one size, and all latents or all pixels.
    """

    def __init__(
        self, datasets: Sequence[Dataset], pictures: Sequence[Picture], prior_loss_weight: float = 1.0
    ) -> None:
        self.datasets = list(datasets)
        self.pictures = list(pictures)
        self.images: Sequence[TrainImage] = [picture.image for picture in pictures]
        self._prior_loss_weight = prior_loss_weight
        self._memory: dict[tuple[int, bool], torch.Tensor] = {}
        self._left_out: set[int] = set()

    @property
    def captions_change(self) -> bool:
        """Whether a picture may have another caption the next time."""
        return any(subset.captions.changing for dataset in self.datasets for subset in dataset.subsets)

    def plan(self, epoch: int, seed: int, processes: int = 1) -> list[list[Item]]:
        """The batches of an epoch (from 0) for so many processes together: every item once, in shuffled order."""
        groups: defaultdict[tuple[int, Size, bool], list[Item]] = defaultdict(list)
        for index, picture in enumerate(self.pictures):
            if index not in self._left_out:
                place = picture.dataset, picture.image.bucket_px, self.has_latents(index)
                groups[place] += [Item(index, repeat) for repeat in range(picture.repeats)]
        sizes = [dataset.batch_size * processes for dataset in self.datasets]
        return plan_batches([Group(items, sizes[place[0]]) for place, items in sorted(groups.items())], seed, epoch)

    def caption(self, item: Item, moment: Moment) -> str:
        """The final caption of an item."""
        picture = self.pictures[item.image]
        return final_caption(picture.image.text, picture.subset.captions, item, moment)

    def load(self, item: Item, moment: Moment) -> Example:
        """An item as it is trained. Where there are mirrored latents, half of the showings draw them.

        Errors: UnreadableImage.
        """
        caption = self.caption(item, moment)
        weight = self._prior_loss_weight if self.pictures[item.image].subset.is_reg else 1.0
        if not self.has_latents(item.image):
            return Example(item, caption, pixels_CHW=self.pixels(item.image), weight=weight)
        mirrored = self._has_mirrored(item.image) and derive(moment.seed, "flip", moment.epoch, *item) % 2 == 1
        return Example(item, caption, latents_CHW=self._read_latents(item.image, mirrored), weight=weight)

    def has_latents(self, index: int) -> bool:
        """Whether an image has latents, so that the VAE is not needed for it."""
        return (index, False) in self._memory or self.pictures[index].latents.plain is not None

    def uncached(self) -> list[int]:
        """The images without latents: those that `put_latents` is to be called for when latents are cached."""
        return [i for i in range(len(self.images)) if i not in self._left_out and not self.has_latents(i)]

    def pixels(self, index: int) -> "torch.Tensor":
        """pixels_CHW of an image in its bucket: float32, -1 to 1. Errors: UnreadableImage."""
        import numpy as np
        import torch

        image = self.images[index]
        picture = open_image(image.path)
        rules = self.datasets[self.pictures[index].dataset].rules
        fit = rules.fit(picture.size) if rules else None
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
        return (index, True) in self._memory or self.pictures[index].latents.flipped is not None

    def _read_latents(self, index: int, mirrored: bool) -> "torch.Tensor":
        import torch

        if (index, mirrored) in self._memory:
            return self._memory[index, mirrored]
        files = self.pictures[index].latents
        path = files.flipped if mirrored else files.plain
        if path is None:
            raise UnreadableImage("its latents are not there")
        try:
            return torch.from_numpy(read_for_training(path, self.images[index].bucket_px, mirrored))
        except BrokenLatents as error:
            raise UnreadableImage(f"its latents {path.name} cannot be used: {error}") from error
