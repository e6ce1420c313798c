"""Aspect-ratio buckets: into which size a picture is brought, by the rules that sd-scripts has. Needs no torch."""

import functools
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from sd_scripts.library.errors import BadOption
from sd_scripts.options.latents import BucketOptions

Size = tuple[int, int]
"""(width, height) in px."""

# A latent is one eighth of a picture's side.
LATENT_PX = 8
# As the options of buckets have it. What models draw is far below.
LARGEST_PX = 16384
# Python itself takes no number of thousands of digits.
_SIDE = re.compile(r"0*[1-9][0-9]{0,8}")


class Fit(NamedTuple):
    """How a picture comes into its bucket: scaled to `resized_px`, which covers it, then cut to `bucket_px`.

    `corner_px` (left, top) says where in the scaled picture the cut lies; None: in its centre.
    """

    resized_px: Size
    bucket_px: Size
    corner_px: tuple[int, int] | None = None

    @property
    def crop_ltrb(self) -> tuple[int, int, int, int]:
        """The part of the scaled picture that is kept: left, top, right, bottom in px."""
        centred = ((r - b) // 2 for r, b in zip(self.resized_px, self.bucket_px, strict=True))
        left, top = self.corner_px or centred
        return left, top, left + self.bucket_px[0], top + self.bucket_px[1]

    def aspect_error(self, size_px: Size) -> float:
        """How far the bucket's width/height lies from the picture's."""
        return abs(self.bucket_px[0] / self.bucket_px[1] - size_px[0] / size_px[1])


@dataclass(frozen=True)
class BucketRules:
    """What decides the bucket of a picture. `checked_rules` makes one from options."""

    resolution_px: Size
    min_px: int = 256
    max_px: int = 1024
    step_px: int = 64
    no_upscale: bool = False
    one_size: bool = False
    """No buckets at all: every picture is brought to the resolution."""
    _fits: dict[Size, Fit | None] = field(default_factory=dict, init=False, compare=False, repr=False)

    def __getstate__(self) -> dict[str, object]:
        """Worker processes get the rules with every picture: without what was worked out for all the others."""
        return self.__dict__ | {"_fits": {}}

    def fit(self, size_px: Size) -> Fit | None:
        """How a picture of this size is brought into its bucket; None where it is too small for any.

        That happens only without enlarging, to a picture with a side below one step.
        """
        if size_px not in self._fits:
            self._fits[size_px] = self._choose(size_px)
        return self._fits[size_px]

    @functools.cached_property
    def sizes(self) -> list[Size]:
        """The buckets there are; without enlarging they follow from the pictures instead, and this is empty."""
        if self.one_size:
            return [self.resolution_px]
        if self.no_upscale:
            return []
        return bucket_sizes(self.resolution_px, self.min_px, self.max_px, self.step_px)

    def _choose(self, size_px: Size) -> Fit | None:
        if self.no_upscale and not self.one_size:
            return fit_without_upscale(size_px, self.resolution_px[0] * self.resolution_px[1], self.step_px)
        return fit_bucket(size_px, self.sizes)


def bucket_sizes(resolution_px: Size, min_px: int, max_px: int, step_px: int) -> list[Size]:
    """All sizes between `min_px` and `max_px` that come close to the resolution's area, and its square; sorted."""
    area_px = resolution_px[0] * resolution_px[1]
    square_px = math.isqrt(area_px) // step_px * step_px
    found = {(square_px, square_px)}
    for width_px in range(min_px, max_px + 1, step_px):
        height_px = min(max_px, area_px // width_px // step_px * step_px)
        if height_px >= min_px:
            found |= {(width_px, height_px), (height_px, width_px)}
    return sorted(found)


def fit_bucket(size_px: Size, buckets: list[Size]) -> Fit:
    """The bucket of the picture's own size, or else the one nearest in aspect ratio (the first of several)."""
    ratio = size_px[0] / size_px[1]
    bucket = size_px if size_px in buckets else min(buckets, key=lambda b: abs(b[0] / b[1] - ratio))
    return cover(size_px, bucket)


def cover(size_px: Size, bucket_px: Size) -> Fit:
    """The smallest scaled size that covers a bucket."""
    (width, height), (bucket_width, bucket_height) = size_px, bucket_px
    wider = width / height > bucket_width / bucket_height
    scale = bucket_height / height if wider else bucket_width / width
    return Fit((int(width * scale + 0.5), int(height * scale + 0.5)), bucket_px)


def fit_without_upscale(size_px: Size, area_px: int, step_px: int) -> Fit | None:
    """A picture keeps its size, or shrinks to the area; the bucket is what whole steps fit into. None: not even one."""
    resized_px = _shrunk(size_px, area_px, step_px) if size_px[0] * size_px[1] > area_px else size_px
    bucket_px = (resized_px[0] // step_px * step_px, resized_px[1] // step_px * step_px)
    return Fit(resized_px, bucket_px) if min(bucket_px) > 0 else None


def _shrunk(size_px: Size, area_px: int, step_px: int) -> Size:
    """The size that has the area and one side in whole steps: of the two ways the one that bends the picture less."""
    ratio = size_px[0] / size_px[1]

    def steps(length_px: float) -> int:
        return int(length_px + 0.5) // step_px * step_px

    def error(width_px: int, height_px: int) -> float:
        return abs(width_px / height_px - ratio) if height_px else math.inf

    width_px = math.sqrt(area_px * ratio)
    by_width, by_height = steps(width_px), steps(area_px / width_px)
    if error(by_width, steps(by_width / ratio)) < error(steps(by_height * ratio), by_height):
        return by_width, int(by_width / ratio + 0.5)
    return int(by_height * ratio + 0.5), by_height


def too_small(step_px: int) -> str:
    """The reason for leaving out a picture without a bucket."""
    return f"a side is shorter than one bucket step ({step_px} px), and --bucket_no_upscale forbids to enlarge it"


def latents_hw(bucket_px: Size) -> tuple[int, int]:
    """(height, width) of the latents of a bucket."""
    return bucket_px[1] // LATENT_PX, bucket_px[0] // LATENT_PX


def parse_resolution(text: str, option: str) -> Size:
    """(width, height) of "width,height" or of one number. Errors: BadOption, naming `option`."""
    parts = [part.strip() for part in text.split(",")]
    if len(parts) not in (1, 2) or not all(map(_SIDE.fullmatch, parts)):
        raise BadOption(option, f'--{option} "{text}" is no size. Write width,height such as 512,512, or one number.')
    sides_px = int(parts[0]), int(parts[-1])
    if max(sides_px) > LARGEST_PX:
        raise BadOption(option, f'--{option} "{text}" is too large. A side has at most {LARGEST_PX} px.')
    return sides_px


def checked_rules(rules: BucketRules, option: str) -> BucketRules:
    """The rules, when pictures can be brought into such buckets. `option` is the name of the resolution's option.

    Errors: BadOption, with the nearest values that would do.
    """
    step_px = rules.step_px
    if step_px % LATENT_PX:
        near = _nearest(step_px, LATENT_PX)
        raise BadOption("bucket_reso_steps", f"--bucket_reso_steps {step_px} is no multiple of 8. Use {near}.")
    # Without buckets nothing comes in steps.
    _in_steps(option, rules.resolution_px, LATENT_PX if rules.one_size else step_px)
    if rules.no_upscale or rules.one_size:
        return rules
    _in_steps("min_bucket_reso", (rules.min_px,), step_px)
    _in_steps("max_bucket_reso", (rules.max_px,), step_px)
    if rules.min_px > rules.max_px:
        raise BadOption(
            "min_bucket_reso",
            f"--min_bucket_reso {rules.min_px} is more than --max_bucket_reso {rules.max_px}. Lower it or raise that.",
        )
    square_px = math.isqrt(math.prod(rules.resolution_px)) // step_px * step_px
    if rules.min_px > square_px:
        # Only a training may do without buckets.
        without = ", or leave out --enable_bucket" if option == "resolution" else ""
        raise BadOption(
            "min_bucket_reso",
            f"--min_bucket_reso {rules.min_px} is more than the resolution gives: there would be one square bucket of "
            f"{square_px} px for all pictures. Use {square_px} or less{without}.",
        )
    if max(rules.resolution_px) > rules.max_px:
        raise BadOption(
            "max_bucket_reso",
            f"--max_bucket_reso {rules.max_px} is less than the resolution. Use {max(rules.resolution_px)} or more.",
        )
    return rules


def rules_within(max_resolution: str, limits: BucketOptions) -> BucketRules:
    """The rules of buckets that are sorted into before training, up to a resolution. Errors: BadOption."""
    rules = BucketRules(
        parse_resolution(max_resolution, "max_resolution"),
        limits.min_bucket_reso,
        limits.max_bucket_reso,
        limits.bucket_reso_steps,
        limits.bucket_no_upscale,
    )
    return checked_rules(rules, "max_resolution")


def _in_steps(option: str, sides_px: Iterable[int], step_px: int) -> None:
    sides = list(sides_px)
    if any(side % step_px for side in sides):
        given = ",".join(map(str, sides))
        near = [_nearest(side, step_px) for side in sides]
        what = near[0] if len(set(near)) == 1 else f"{near[0]} for the width and {near[1]} for the height"
        step = f"{step_px}" if step_px == LATENT_PX else f"the bucket step {step_px}"
        raise BadOption(option, f"--{option} {given} is no multiple of {step}. Use {what}.")


def _nearest(value: int, step: int) -> str:
    """The good values around one that is no multiple of `step`."""
    below = value // step * step
    return f"{below} or {below + step}" if below else str(step)
