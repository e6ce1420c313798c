"""Which pictures are drawn, and from what: each prompt with its sizes, its way and its seed. Needs no torch."""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import TypeVar

from sd_scripts.library.data.caption_rules import without_wildcards
from sd_scripts.library.data.images import UnreadableImage, image_size
from sd_scripts.library.errors import BadFile
from sd_scripts.library.generate.asked import Asked
from sd_scripts.library.seeds import derive
from sd_scripts.options.gen_img import GenImgOptions, SizeTellingOptions

_T = TypeVar("_T")
Size = tuple[int, int]
DEFAULT_STRENGTH = 0.8
# Seeds that other programs take too.
SEEDS = 2**32


@dataclass(frozen=True)
class Told:
    """What SDXL is told of sizes, as Podell et al. count them: (height, width) of the whole, (top, left) of the part
    that is seen, (height, width) of that. In px."""

    positive: tuple[int, ...]
    negative: tuple[int, ...]


@dataclass(frozen=True)
class Picture:
    """A picture to draw. `row`: its place in a table of prompts; `number`: which of this row it is, from 0.

    `source` is the picture that it begins with, `mask` says where. `multipliers`: strengths of networks, None: theirs.
    """

    prompt: str
    negative_prompt: str
    size_px: Size
    steps: int
    scale: float
    negative_scale: float | None
    sampler: str
    seed: int
    strength: float
    multipliers: tuple[float, ...] | None
    told: Told
    row: int
    number: int
    source: Path | None = None
    mask: Path | None = None

    def goes_with(self, other: "Picture") -> bool:
        """Whether both can be drawn at once: they differ in their texts, seeds and scales only."""
        ways = [(one.size_px, one.steps, one.scale > 1.0, one.negative_scale, one.sampler, one.strength,
                 one.multipliers, one.source is None, one.mask is None) for one in (self, other)]  # fmt: skip
        return ways[0] == ways[1]


def planned(
    options: GenImgOptions, asked: Sequence[Asked], seed: int, side_px: int, sources: "Sources | None" = None
) -> list[Picture]:
    """All pictures in the order in which they are drawn. `side_px`: the side where no size is asked for."""
    prompts, grid = options.prompts, is_grid(options)
    images = prompts.images_per_prompt
    several = len(asked) * images * prompts.n_iter > 1
    places, pictures = count(), []
    for iteration in range(prompts.n_iter):
        for index in _order(len(asked), iteration, seed, prompts.shuffle_prompts):
            for image in range(images):
                made = _Seed(seed, several, grid, prompts.iter_same_seed, images)
                picked = asked[index].seed
                own = picked[image % len(picked)] if picked else made.of(iteration, index, image)
                place = next(places)
                row = (iteration * len(asked) + index) * (images if grid else 1) + (image if grid else 0)
                source, mask = sources.at(place) if sources else (None, None)
                pictures.append(_picture(options, asked[index], own, side_px, (row, image), (source, mask)))
    return pictures


def is_grid(options: GenImgOptions) -> bool:
    """Whether pictures are compared."""
    return bool(options.grid.grid or options.grid.grid_multipliers)


@dataclass(frozen=True)
class Sources:
    """The pictures to begin with and their masks, each taken in turn."""

    pictures: Sequence[Path]
    masks: Sequence[Path]

    def at(self, place: int) -> tuple[Path | None, Path | None]:
        """Picture and mask for the place-th picture that is drawn."""
        source = self.pictures[place % len(self.pictures)] if self.pictures else None
        return source, self.masks[place % len(self.masks)] if self.masks else None


@dataclass(frozen=True)
class _Seed:
    """Where seeds come from: derived from where they are used, so that none depends on how much is drawn before."""

    first: int
    several: bool
    grid: bool
    same: bool
    images: int

    def of(self, iteration: int, prompt: int, image: int) -> int:
        """In a grid they count up from the first, the same ones for each prompt; a single picture has the first."""
        if self.same:
            return derive(self.first, "iteration", iteration) % SEEDS
        if self.grid:
            return (self.first + iteration * self.images + image) % SEEDS
        return derive(self.first, "picture", iteration, prompt, image) % SEEDS if self.several else self.first


def _order(length: int, iteration: int, seed: int, shuffled: bool) -> list[int]:
    order = list(range(length))
    if shuffled:
        random.Random(derive(seed, "order", iteration)).shuffle(order)
    return order


def _picture(
    options: GenImgOptions,
    asked: Asked,
    seed: int,
    side_px: int,
    place: tuple[int, int],
    begin: tuple[Path | None, Path | None],
) -> Picture:
    drawing, (source, mask) = options.drawing, begin
    size_px = _size(options, asked, side_px, source)
    negative = _or(asked.negative_prompt, options.prompts.negative_prompt or "")
    lot = random.Random(derive(seed, "wildcards"))
    return Picture(
        prompt=without_wildcards(asked.prompt, lot),
        negative_prompt=without_wildcards(negative, lot),
        size_px=size_px,
        steps=_or(asked.sample_steps, drawing.steps),
        scale=_or(asked.scale, drawing.scale),
        negative_scale=_or(asked.negative_scale, drawing.negative_scale),
        sampler=_or(asked.sample_sampler, drawing.sampler),
        seed=seed,
        strength=_or(asked.strength, _or(options.picture.strength, DEFAULT_STRENGTH)),
        multipliers=asked.network_mul,
        told=_told(asked, options.telling, size_px),
        row=place[0],
        number=place[1],
        source=source,
        mask=mask,
    )


def _size(options: GenImgOptions, asked: Asked, side_px: int, source: Path | None) -> Size:
    """Multiples of 8, as the model needs them."""
    width, height = _or(asked.width, options.drawing.W), _or(asked.height, options.drawing.H)
    if source and (width is None or height is None):
        own = _size_of(source)
        width, height = _or(width, own[0]), _or(height, own[1])
    return whole_eighths(_or(width, side_px)), whole_eighths(_or(height, side_px))


def _size_of(source: Path) -> Size:
    try:
        return image_size(source)
    except UnreadableImage as error:
        raise BadFile(f"{source} cannot be read: {error}. Choose another picture.") from error


def whole_eighths(side_px: int) -> int:
    """The nearest multiple of 8, at least 8."""
    return max(8, round(side_px / 8) * 8)


def _told(asked: Asked, options: SizeTellingOptions, size_px: Size) -> Told:
    width = _or(_or(asked.original_width, options.original_width), size_px[0])
    height = _or(_or(asked.original_height, options.original_height), size_px[1])
    top, left = _or(asked.crop_top, options.crop_top) or 0, _or(asked.crop_left, options.crop_left) or 0
    other_width = _or(_or(asked.original_width_negative, options.original_width_negative), width)
    other_height = _or(_or(asked.original_height_negative, options.original_height_negative), height)
    rest = (top, left, size_px[1], size_px[0])
    return Told((height, width, *rest), (other_height, other_width, *rest))


def _or(value: _T | None, other: _T) -> _T:
    return other if value is None else value


def batches(pictures: Sequence[Picture], size: int) -> Iterator[list[Picture]]:
    """Neighbours that can be drawn at once, at most `size` of them."""
    batch: list[Picture] = []
    for picture in pictures:
        if batch and (len(batch) == size or not batch[0].goes_with(picture)):
            yield batch
            batch = []
        batch.append(picture)
    if batch:
        yield batch
