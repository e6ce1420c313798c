"""A picture made ready for the VAE, in a worker process. Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.augment import View, see
from sd_scripts.library.data.buckets import BucketRules, latents_hw, too_small
from sd_scripts.library.data.images import UnreadableImage, image_size, open_image_with_alpha
from sd_scripts.library.data.latents import MadeFrom, content_hash, flip_path, plain_path, read_latents
from sd_scripts.library.data.npz import BrokenLatents
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.data.resize import Interpolation, same_way

if TYPE_CHECKING:
    import numpy as np

UNKNOWN_SOURCE = "they do not say what they were made from"


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


@dataclass(frozen=True)
class Ready:
    """A picture in its bucket: uint8 pixels, or None where the latents that are there still fit.

    `misfit` says why latents that are there are made again.
    """

    image: Path
    made_from: MadeFrom
    pixels_HWC: "np.ndarray | None" = None
    alpha_mask_HW: "np.ndarray | None" = None
    misfit: str = ""


def make_ready(wanted: Wanted, image: Path) -> Ready:
    """Reads a picture and brings it into its bucket, unless its latents still fit. Errors: UnreadableImage."""
    data, size_px = image.read_bytes(), image_size(image)
    fit = wanted.rules.fit(size_px)
    if fit is None:
        raise UnreadableImage(too_small(wanted.rules.step_px))
    way = same_way(wanted.interpolation)
    made_from = MadeFrom(content_hash(data), len(data), size_px, fit, wanted.vae_hash, wanted.precision, way)
    misfit = _misfit(wanted, image, made_from) if wanted.keep_fitting else ""
    if wanted.keep_fitting and not misfit:
        return Ready(image, made_from)
    # Only now, since decoding is what takes long.
    rules = PictureRules(alpha_mask=wanted.alpha_mask, resize_interpolation=wanted.interpolation)
    pixels_HWC, mask_HW = see(open_image_with_alpha(image), View(fit), rules)
    return Ready(image, made_from, pixels_HWC, mask_HW, misfit if misfit != MISSING else "")


MISSING = "there are none"


def _misfit(wanted: Wanted, image: Path, made_from: MadeFrom) -> str:
    """Why the latents of a picture must be made again; empty when they fit."""
    paths = [plain_path(image)] + ([flip_path(image)] if wanted.flip else [])
    return next(filter(None, (_file_misfit(path, wanted, made_from) for path in paths)), "")


def _file_misfit(path: Path, wanted: Wanted, made_from: MadeFrom) -> str:
    if not path.is_file():
        return MISSING
    try:
        cached = read_latents(path)
    except BrokenLatents:
        return "they are broken"
    if cached.made_from is None:
        return UNKNOWN_SOURCE
    if cached.latents_CHW.shape[1:] != latents_hw(made_from.fit.bucket_px):
        return "they have another size"
    if wanted.alpha_mask != (cached.alpha_mask_HW is not None):
        return "the alpha mask is missing" if wanted.alpha_mask else "they carry an alpha mask"
    return cached.made_from.difference(made_from)
