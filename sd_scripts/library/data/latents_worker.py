"""A picture made ready for the VAE, in a worker process. Needs no torch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.augment import View, see
from sd_scripts.library.data.buckets import BucketRules, Fit, too_small
from sd_scripts.library.data.images import PictureFile, UnreadableImage
from sd_scripts.library.data.known_files import content_hash, stamp_of
from sd_scripts.library.data.latents import MadeFrom, flip_path, plain_path
from sd_scripts.library.data.latents_files import Asked
from sd_scripts.library.data.latents_head import BROKEN, PICTURE_CHANGED, Expected, read_head
from sd_scripts.library.data.npz import BrokenLatents
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.data.resize import Interpolation, same_way

if TYPE_CHECKING:
    import numpy as np

MISSING = "there are none"


@dataclass(frozen=True)
class Wanted:
    """What latents are to be like. Workers get it with every picture, so it is small."""

    rules: BucketRules
    vae_hash: str
    precision: str
    flip: bool = False
    alpha_mask: bool = False
    keep_fitting: bool = False
    interpolation: Interpolation | None = None
    fast_decode: bool = False

    def files(self, image: Path, fit: Fit) -> dict[Path, Asked]:
        """The latents files that a picture is to have, and what is asked of them."""
        way = same_way(self.interpolation)
        expected = Expected(
            False, self.alpha_mask, way, self.vae_hash, self.precision, fit.resized_px,
            keyed=True, exact=not self.fast_decode,
        )  # fmt: skip
        ways = {plain_path(image): False} | ({flip_path(image): True} if self.flip else {})
        return {path: Asked(image, fit.bucket_px, flipped, expected) for path, flipped in ways.items()}


@dataclass(frozen=True)
class Ready:
    """A picture in its bucket: uint8 pixels, or None where the latents that are there still fit.

    `misfit` says why latents that are there are made again. `stamps`: the states of the files that were read.
    """

    image: Path
    made_from: MadeFrom
    stamps: dict[Path, str]
    pixels_HWC: "np.ndarray | None" = None
    alpha_mask_HW: "np.ndarray | None" = None
    misfit: str = ""


def make_ready(wanted: Wanted, image: Path) -> Ready:
    """Reads a picture and brings it into its bucket, unless its latents still fit. Errors: UnreadableImage."""
    stamps = {image: stamp_of(image)}
    data = image.read_bytes()
    picture = PictureFile(image, data)
    size_px = picture.size_px
    fit = wanted.rules.fit(size_px)
    if fit is None:
        raise UnreadableImage(too_small(wanted.rules.step_px))
    way = same_way(wanted.interpolation)
    made_from = MadeFrom(content_hash(data), len(data), size_px, fit, wanted.vae_hash, wanted.precision, way)
    misfit = _misfit(wanted, image, made_from, stamps) if wanted.keep_fitting else MISSING
    if not misfit:
        return Ready(image, made_from, stamps)
    # Only now, since decoding is what takes long.
    rules = PictureRules(alpha_mask=wanted.alpha_mask, resize_interpolation=wanted.interpolation)
    decoded = picture.decoded(fit.resized_px if wanted.fast_decode else None)
    made_from = replace(made_from, reduced=wanted.fast_decode and decoded.size != size_px)
    pixels_HWC, mask_HW = see(decoded, View(fit), rules)
    return Ready(image, made_from, stamps, pixels_HWC, mask_HW, misfit if misfit != MISSING else "")


def _misfit(wanted: Wanted, image: Path, made_from: MadeFrom, stamps: dict[Path, str]) -> str:
    """Why the latents of a picture must be made again; empty when they fit. Notes the states of the files."""
    for path, asked in wanted.files(image, made_from.fit).items():
        if not path.is_file():
            return MISSING
        try:
            stamps[path] = stamp_of(path)
            # As a whole: what is found right now is not looked at again until it changes.
            head = read_head(path, whole=True)
        except (BrokenLatents, OSError):
            return BROKEN
        misfit = head.misfit(asked.bucket_px, asked.flipped, asked.expected)
        if not misfit and head.said("content_hash", asked.bucket_px, asked.flipped) != made_from.content_hash:
            misfit = PICTURE_CHANGED
        if misfit:
            return misfit
    return ""
