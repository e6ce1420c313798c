"""The data of training: captions with latents where there are some, else with pixels. Imports torch late."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from sd_scripts.library.data.augment import View, both, draw_view, is_mirrored
from sd_scripts.library.data.buckets import Fit, Size, latents_hw
from sd_scripts.library.data.caption_rules import final_caption
from sd_scripts.library.data.faces import face_of
from sd_scripts.library.data.images import UnreadableImage, image_size
from sd_scripts.library.data.latents import read_for_training, read_mask, read_origin
from sd_scripts.library.data.latents_cache import Encodable, read_encodable
from sd_scripts.library.data.latents_files import LatentsFiles, LatentsFinder
from sd_scripts.library.data.npz import BrokenLatents
from sd_scripts.library.data.picture_tensors import as_mask, fit_of, mask_shown, show, sizes_of
from sd_scripts.library.data.plan import Group, plan_batches
from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.subsets import Dataset
from sd_scripts.library.data.training_data import Example, Item, Moment, Sizes, TrainImage, TrainingData

if TYPE_CHECKING:
    import torch


class PictureData:
    """A TrainingData of pictures in datasets.

    They may have latents (prepared on disk, or put here), plain or both plain and mirrored; the others give pixels, for
    the VAE. `finder` knows which latents on disk fit.
    `held_out`: those that are not learnt, but looked at.

    A batch is uniform: of one dataset, one size, one strength, and all latents or all pixels.
    """

    def __init__(
        self,
        datasets: Sequence[Dataset],
        pictures: Sequence[Picture],
        prior_loss_weight: float = 1.0,
        finder: LatentsFinder | None = None,
        held_out: "PictureData | None" = None,
    ) -> None:
        self.datasets = list(datasets)
        self.pictures = list(pictures)
        self.images: Sequence[TrainImage] = [picture.image for picture in pictures]
        self.finder = finder or LatentsFinder()
        self.held_out = held_out
        self._prior_loss_weight = prior_loss_weight
        self._memory: dict[tuple[int, bool], tuple[torch.Tensor, torch.Tensor | None]] = {}
        self._origins: dict[int, tuple[Size, Fit]] = {}
        self._left_out: set[int] = set()

    @property
    def captions_change(self) -> bool:
        """Whether a picture may have another caption the next time."""
        return any(subset.captions.changing for dataset in self.datasets for subset in dataset.subsets)

    @property
    def has_strengths(self) -> bool:
        """Whether a network changes the model more for some pictures than for others, or less than fully."""
        return any(subset.strength != 1.0 for dataset in self.datasets for subset in dataset.subsets)

    def plan(self, epoch: int, seed: int, processes: int = 1) -> list[list[Item]]:
        """The batches of an epoch (from 0) for so many processes together: every item once, in shuffled order."""
        groups: defaultdict[tuple[int, Size, bool, float], list[Item]] = defaultdict(list)
        for index, picture in enumerate(self.pictures):
            if index not in self._left_out:
                place = (
                    picture.dataset, picture.image.bucket_px, self.has_latents(index), picture.subset.strength,
                )  # fmt: skip
                groups[place] += [Item(index, repeat) for repeat in range(picture.repeats)]
        sizes = [dataset.batch_size * processes for dataset in self.datasets]
        return plan_batches([Group(items, sizes[place[0]]) for place, items in sorted(groups.items())], seed, epoch)

    def caption(self, item: Item, moment: Moment) -> str:
        """The final caption of an item."""
        picture = self.pictures[item.image]
        return final_caption(picture.image.text, picture.subset.captions, item, moment)

    def whole_caption(self, index: int) -> str:
        """The caption of an image where captions do not change, whether or not it is sometimes left empty."""
        picture = self.pictures[index]
        rules = replace(picture.subset.captions, dropout_rate=0.0, dropout_every_n_epochs=0)
        return final_caption(picture.image.text, rules, Item(index, 0), Moment())

    def load(self, item: Item, moment: Moment) -> Example:
        """An item as it is trained. Where there are mirrored latents, half of the showings draw them.

        Errors: UnreadableImage.
        """
        subset = self.pictures[item.image].subset
        example = self._of_latents(item, moment) if self.has_latents(item.image) else self._of_picture(item, moment)
        weight = self._prior_loss_weight if subset.is_reg else 1.0
        return replace(example, caption=self.caption(item, moment), weight=weight, strength=subset.strength)

    def has_latents(self, index: int) -> bool:
        """Whether an image has latents, so that the VAE is not needed for it."""
        return (index, False) in self._memory or self.pictures[index].latents.plain is not None

    def uncached(self) -> list[int]:
        """The images without latents: those that `put_latents` is to be called for when latents are cached."""
        return [i for i in range(len(self.images)) if i not in self._left_out and not self.has_latents(i)]

    def mirrors(self, index: int) -> bool:
        """Whether latents of an image's mirror image are to be put as well."""
        return self.pictures[index].subset.pictures.flip_aug

    def unchanged(self, index: int) -> Example:
        """An image as it is seen when nothing is drawn by lot: its pixels and its mask. Errors: UnreadableImage."""
        return self._shown(Item(index, 0), lambda _, fit: View(fit))

    def put_latents(
        self,
        index: int,
        latents_CHW: "torch.Tensor",
        mirrored: bool = False,
        mask_HW: "torch.Tensor | None" = None,
    ) -> None:
        """Keeps latents (not scaled) and their mask in memory. Plans made before are not valid any more."""
        if tuple(latents_CHW.shape[1:]) != latents_hw(self.images[index].bucket_px):
            raise ValueError(f"latents {tuple(latents_CHW.shape)} do not fit the bucket {self.images[index].bucket_px}")
        self._memory[index, mirrored] = latents_CHW.detach().float().cpu(), mask_HW

    def encodable(self, index: int, precision: str) -> Encodable:
        """An image for latents on disk, with what they are made from. Errors: UnreadableImage."""
        picture = self.pictures[index]
        rules = self.datasets[picture.dataset].rules
        return read_encodable(picture.image, rules, picture.subset.pictures, self.finder.vae_hash or "", precision)

    def put_files(self, index: int, files: LatentsFiles, content: str) -> None:
        """Takes latents files made for an image with that content. Plans made before are not valid any more."""
        picture = self.pictures[index]
        path, bucket_px, rules = picture.image.path, picture.image.bucket_px, self.datasets[picture.dataset].rules
        expected = self.finder.expected(path, bucket_px, picture.subset.pictures, rules)
        self.finder.note_written(path, bucket_px, expected, files, content)
        self.pictures[index] = replace(self.pictures[index], latents=files)

    def leave_out(self, index: int) -> None:
        """Takes an image that cannot be read out of all later plans."""
        self._left_out.add(index)

    def _has_mirrored(self, index: int) -> bool:
        return (index, True) in self._memory or self.pictures[index].latents.flipped is not None

    def _of_picture(self, item: Item, moment: Moment) -> Example:
        rules = self.pictures[item.image].subset.pictures
        face = face_of(self.images[item.image].path) if rules.face_crop_aug_range else None
        return self._shown(item, lambda size_px, fit: draw_view(size_px, fit, rules, face, item, moment))

    def _shown(self, item: Item, choose: Callable[[Size, Fit], View]) -> Example:
        picture = self.pictures[item.image]
        shown = show(picture.image, self.datasets[picture.dataset].rules, picture.subset.pictures, choose, picture.mask)
        sizes = sizes_of(shown.original_px, shown.view.fit, shown.view.mirrored)
        return Example(
            item, "", pixels_CHW=shown.pixels_CHW, mask_HW=shown.mask_HW, sizes=sizes, seen=shown.view.told()
        )

    def _of_latents(self, item: Item, moment: Moment) -> Example:
        mirrored = self._has_mirrored(item.image) and is_mirrored(item, moment)
        latents_CHW, mask_HW = self._memory.get((item.image, mirrored)) or self._read_latents(item.image, mirrored)
        seen = "mirrored" if mirrored else ""
        return Example(item, "", latents_CHW, mask_HW=mask_HW, sizes=self._sizes(item.image, mirrored), seen=seen)

    def _sizes(self, index: int, mirrored: bool) -> Sizes:
        """How an image that has latents came to its size: as they say, or as the picture would come to it now."""
        if index not in self._origins:
            self._origins[index] = self._origin(index)
        original_px, fit = self._origins[index]
        return sizes_of(original_px, fit, mirrored)

    def _origin(self, index: int) -> tuple[Size, Fit]:
        picture = self.pictures[index]
        image, path = picture.image, picture.latents.plain
        if path and (found := read_origin(path, image.bucket_px)):
            return found
        try:
            original_px = image_size(image.path)
        except UnreadableImage:
            # The picture is gone, and other programs' latents may say nothing of it.
            return image.bucket_px, Fit(image.bucket_px, image.bucket_px)
        return original_px, fit_of(original_px, image.bucket_px, self.datasets[picture.dataset].rules)

    def _read_latents(self, index: int, mirrored: bool) -> "tuple[torch.Tensor, torch.Tensor | None]":
        import torch

        picture = self.pictures[index]
        rules, buckets = picture.subset.pictures, self.datasets[picture.dataset].rules
        path, bucket_px = picture.latents.flipped if mirrored else picture.latents.plain, picture.image.bucket_px
        if path is None:
            raise UnreadableImage("its latents are not there")
        try:
            latents_CHW = torch.from_numpy(read_for_training(path, bucket_px, mirrored))
            alpha_HW = read_mask(path, bucket_px, mirrored) if rules.alpha_mask else None
        except BrokenLatents as error:
            raise UnreadableImage(f"its latents {path.name} cannot be used: {error}") from error
        mask_HW = mask_shown(picture.mask, picture.image, buckets, rules, mirrored) if picture.mask else None
        return latents_CHW, as_mask(both(alpha_HW, mask_HW))


def with_held_out(data: TrainingData) -> list[TrainingData]:
    """Training data, and the pictures that are held out of it where there are such."""
    held_out = data.held_out if isinstance(data, PictureData) else None
    return [data] if held_out is None else [data, held_out]
