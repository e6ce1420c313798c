"""Where latents are kept that are made before training: in memory, or in files beside the pictures."""

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor

from sd_scripts.library.data.late_writing import Work
from sd_scripts.library.data.latents_cache import Encodable, add_latents, cache_path, check_files
from sd_scripts.library.data.latents_files import LatentsFiles
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.training_data import Example, Item, TrainingData
from sd_scripts.library.data.vae_encoder import brought, generator_of, to_pixels
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.batches import NOT_NUMBERS, Encoder
from sd_scripts.library.train.caching import Keeper, Made
from sd_scripts.options.data import ResolutionOptions

FAILED = f"{NOT_NUMBERS}; add --no_half_vae"


@runtime_checkable
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


def asked_keeper(resolution: ResolutionOptions, data: TrainingData, encoder: Encoder, seed: int) -> Keeper | None:
    """The keeper that options ask for; None where latents are not made before training."""
    if resolution.cache_latents_to_disk and isinstance(data, PictureData):
        return OnDisk(data, encoder)
    if resolution.cache_latents and isinstance(data, CacheableData):
        return InMemory(data, encoder, seed)
    return None


def needs_vae(data: TrainingData) -> bool:
    """Whether some pictures are encoded while training."""
    return not isinstance(data, CacheableData) or bool(data.uncached())


class Latents(NamedTuple):
    """Latents in memory, with their mask."""

    latents_CHW: torch.Tensor
    mirrored: bool
    mask_HW: torch.Tensor | None


@dataclass(frozen=True)
class InMemory:
    """Keeps latents in the memory of each process. A sample depends on the seed and its image, not on the batch."""

    data: CacheableData
    encoder: Encoder
    seed: int

    def missing(self) -> list[int]:
        """The images without latents."""
        return self.data.uncached()

    def load(self, item: Item) -> Example:
        """An image's pixels and mask."""
        return self.data.unchanged(item.image)

    def begin(self, loaded: list[Example]) -> Callable[[], list[Work[Made]]]:
        """Plain latents, and mirrored ones where they are wanted."""
        mirrors = [_mirrored(example) for example in loaded if self.data.mirrors(example.item.image)]
        begun = [(each, way, self._begin(each, way)) for each, way in ((loaded, False), (mirrors, True)) if each]

        def end() -> list[Work[Made]]:
            found: dict[int, list[Latents]] = {example.item.image: [] for example in loaded}
            for examples, mirrored, latents in begun:
                # A copy: they stay, and a GPU's transfers need the memory that they came in.
                for example, latents_CHW in zip(examples, latents().clone(), strict=True):
                    found[example.item.image].append(Latents(latents_CHW, mirrored, example.mask_HW))
            made = [Made(image, several, "" if _finite(*several) else FAILED) for image, several in found.items()]
            return [Work(one, _nothing) for one in made]

        return end

    def take(self, made: Made) -> None:
        """Puts the latents into the data."""
        if made.reason:
            self.data.leave_out(made.image)
            return
        for latents in made.latents:
            self.data.put_latents(made.image, *latents)

    def end(self) -> None:
        """Nothing more: memory is gone with the process."""

    def _begin(self, examples: list[Example], mirrored: bool) -> Callable[[], Tensor]:
        use = "cache_mirrored" if mirrored else "cache"
        generators = [torch.Generator().manual_seed(derive(self.seed, use, e.item.image)) for e in examples]
        pixels_BCHW = torch.stack([example.pixels_CHW for example in examples])
        return brought(self.encoder.encode(pixels_BCHW, generators))


def _mirrored(example: Example) -> Example:
    assert example.pixels_CHW is not None
    mask_HW = None if example.mask_HW is None else example.mask_HW.flip(-1)
    return replace(example, pixels_CHW=example.pixels_CHW.flip(-1), mask_HW=mask_HW)


def _nothing() -> None:
    """There is nothing to write, or what there is must not be kept."""


def _finite(*several: Latents) -> bool:
    return all(bool(torch.isfinite(latents.latents_CHW).all()) for latents in several)


class Read(NamedTuple):
    """A picture that was read for its latents on disk."""

    image: int
    source: Encodable


class Written(NamedTuple):
    """Latents files, and the picture that they were made of: its size, its content hash and the state that was read."""

    files: LatentsFiles
    original_px: tuple[int, int]
    content_hash: str
    stamp: str


@dataclass(frozen=True)
class OnDisk:
    """Keeps latents in files beside the pictures. A sample depends on the picture's content alone."""

    data: PictureData
    encoder: Encoder

    def missing(self) -> list[int]:
        """The images without latents. Errors: BadOption, where a file cannot hold all that is asked of it."""
        missing = self.data.uncached()
        check_files(self.data.pictures, missing)
        return missing

    def load(self, item: Item) -> Read:
        """An image in its bucket, with what its latents are made from."""
        return Read(item.image, self.data.encodable(item.image, self.encoder.precision))

    def begin(self, loaded: list[Read]) -> Callable[[], list[Work[Made]]]:
        """The latents of each picture for its file, with mirrored ones and a mask where they are wanted."""
        mirrors = [read for read in loaded if self._place(read.image) in self._mirrored_places]
        plain, mirrored = self._begin(loaded, mirrored=False), self._begin(mirrors, mirrored=True)

        def end() -> list[Work[Made]]:
            flipped = dict(zip((read.image for read in mirrors), mirrored(), strict=True))
            both = zip(loaded, plain(), strict=True)
            return [self._work(read, plain_CHW, flipped.get(read.image)) for read, plain_CHW in both]

        return end

    def take(self, made: Made) -> None:
        """Tells the data where the files are."""
        if made.reason:
            self.data.leave_out(made.image)
            return
        written: Written = made.latents
        path = self.data.images[made.image].path
        self.data.finder.known.put_picture(path, written.stamp, written.original_px, written.content_hash)
        self.data.put_files(made.image, written.files, written.content_hash)

    def end(self) -> None:
        """Keeps what was found of pictures and files for the next run."""
        self.data.finder.known.keep()

    def _work(self, read: Read, plain_CHW: Tensor, flipped_CHW: Tensor | None) -> Work[Made]:
        both = [plain_CHW] if flipped_CHW is None else [plain_CHW, flipped_CHW]
        if not all(bool(torch.isfinite(latents_CHW).all()) for latents_CHW in both):
            return Work(Made(read.image, reason=FAILED), _nothing)
        made_from = read.source.made_from
        path = cache_path(self.data.images[read.image].path, made_from.original_px, self.data.finder.suffix)
        files = LatentsFiles(path, path if self.data.mirrors(read.image) else None)
        written = Written(files, made_from.original_px, made_from.content_hash, read.source.stamp)
        write = partial(add_latents, path, read.source, *(latents_CHW.numpy() for latents_CHW in both))
        return Work(Made(read.image, written), write, path)

    @functools.cached_property
    def _mirrored_places(self) -> set[tuple[Path, tuple[int, int]]]:
        """What is mirrored by some subset: others may show the same picture plain, out of the same file."""
        return {self._place(index) for index in range(len(self.data.images)) if self.data.mirrors(index)}

    def _place(self, index: int) -> tuple[Path, tuple[int, int]]:
        image = self.data.images[index]
        return image.path, image.bucket_px

    def _begin(self, reads: list[Read], mirrored: bool) -> Callable[[], Sequence[Tensor]]:
        if not reads:
            return list
        import numpy as np

        pixels_BCHW = to_pixels(np.stack([read.source.pixels_HWC for read in reads]))
        generators = [generator_of(read.source.made_from.content_hash, mirrored) for read in reads]
        return brought(self.encoder.encode(pixels_BCHW.flip(-1) if mirrored else pixels_BCHW, generators))
