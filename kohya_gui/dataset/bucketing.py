"""Buckets before latents are made: which ones the settings of the Latents form would give, and what that costs."""

from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import Any

from kohya_gui.arguments import Values
from kohya_gui.asked_buckets import LATENTS_FLAGS, latents_buckets
from kohya_gui.dataset.album import Album, Picture
from kohya_gui.stages import STAGES
from kohya_gui.words import bad_value
from sd_scripts.library.data.buckets import BucketRules, Fit, Size
from sd_scripts.library.errors import BadOption
from sd_scripts.options.spec import option_specs
from sd_scripts.options.values import BadValue, read_value

STRONG_CROP = 0.1
"""A picture of which more than this share is cut off is cropped strongly."""


def rules_of(values: Values) -> BucketRules:
    """The rules that the values of the Latents form make. Errors: BadOption, naming the option."""
    specs = option_specs(STAGES["latents"].options)
    read: list[Any] = []
    for flag in LATENTS_FLAGS:
        try:
            read.append(read_value(specs[flag], values.get(flag)))
        except BadValue as error:
            raise BadOption(flag, bad_value(error)) from error
    return latents_buckets(*read)


@dataclass(frozen=True)
class BucketFit:
    """How a picture comes into its bucket, in figures for people: scale, and the share that is cut off."""

    bucket: str
    scale: float
    cut: float

    @property
    def enlarged(self) -> bool:
        """Whether the picture has fewer pixels than its bucket asks for."""
        return self.scale > 1.0

    @property
    def cropped(self) -> bool:
        """Whether much of the picture is lost."""
        return self.cut > STRONG_CROP


def bucket_name(size_px: Size) -> str:
    """The name of a bucket: widthxheight."""
    return f"{size_px[0]}x{size_px[1]}"


def fit_of(picture: Picture, rules: BucketRules) -> BucketFit | None:
    """How a picture comes into its bucket; None where it is broken, or too small for any."""
    fit = rules.fit(picture.size_px) if picture.size_px else None
    return _figures(picture.size_px, fit) if picture.size_px and fit else None


def _figures(size_px: Size, fit: Fit) -> BucketFit:
    # One side is rounded: the other tells the scale.
    scale = max(resized / side for resized, side in zip(fit.resized_px, size_px, strict=True))
    kept = fit.bucket_px[0] * fit.bucket_px[1] / (fit.resized_px[0] * fit.resized_px[1])
    grown = any(resized > side for resized, side in zip(fit.resized_px, size_px, strict=True))
    return BucketFit(bucket_name(fit.bucket_px), scale if grown else min(scale, 1.0), 1.0 - kept)


@dataclass
class BucketRow:
    """A bucket and how many pictures it holds; how many of them are enlarged, or cropped strongly."""

    bucket: str
    images: int = 0
    enlarged: int = 0
    cropped: int = 0


def bucket_chart(album: Album, rules: BucketRules) -> dict[str, Any]:
    """The buckets that an album's pictures fall into, narrow ones first; and how many pictures have none."""
    rows: dict[Size, BucketRow] = {}
    counts: dict[str, int] = defaultdict(int)
    for picture in (album.pictures[id] for id in album.alive()):
        if picture.size_px is None or album.broken(picture):
            counts["broken"] += 1
            continue
        fit = rules.fit(picture.size_px)
        if fit is None:
            counts["too_small"] += 1
            continue
        row = rows.setdefault(fit.bucket_px, BucketRow(bucket_name(fit.bucket_px)))
        figures = _figures(picture.size_px, fit)
        row.images += 1
        row.enlarged += figures.enlarged
        row.cropped += figures.cropped
    ordered = sorted(rows.items(), key=lambda item: (item[0][0] / item[0][1], item[0][0]))
    return {"rows": [asdict(row) for _, row in ordered], "too_small": counts["too_small"], "broken": counts["broken"]}
