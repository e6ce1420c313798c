"""A picture in its bucket, as tensors. Imports torch late."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.augment import View, latents_mask, mask_seen, see
from sd_scripts.library.data.buckets import BucketRules, Fit, Size, cover
from sd_scripts.library.data.images import image_size, open_image_with_alpha
from sd_scripts.library.data.masks import read_mask_picture
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.data.training_data import Sizes, TrainImage

if TYPE_CHECKING:
    import numpy as np
    import torch


@dataclass(frozen=True)
class Shown:
    """pixels_CHW (float32, -1 to 1) of a picture as it was seen; `mask_HW` has the size of its latents, 0 to 1."""

    pixels_CHW: "torch.Tensor"
    mask_HW: "torch.Tensor | None"
    view: View
    original_px: Size


def show(
    image: TrainImage,
    buckets: BucketRules | None,
    rules: PictureRules,
    choose: Callable[[Size, Fit], View],
    mask: Path | None = None,
) -> Shown:
    """Opens a picture and shows it. `choose` gives the view, of its size and of how it comes into its bucket.

    `mask`: the picture's mask picture.

    Errors: UnreadableImage.
    """
    import torch

    picture = open_image_with_alpha(image.path)
    view = choose(picture.size, fit_of(picture.size, image.bucket_px, buckets))
    pixels_HWC, mask_HW = see(picture, view, rules, read_mask_picture(mask, picture.size) if mask else None)
    # A copy: an unchanged picture is read-only.
    pixels_CHW = torch.tensor(pixels_HWC).permute(2, 0, 1).float() / 127.5 - 1.0
    return Shown(pixels_CHW, as_mask(mask_HW), view, picture.size)


def mask_shown(
    mask: Path, image: TrainImage, buckets: BucketRules | None, rules: PictureRules, mirrored: bool
) -> "np.ndarray":
    """mask_HW (float32, 0 to 1) of a mask picture in the bucket, beside latents. Errors: UnreadableImage."""
    size_px = image_size(image.path if image.path.is_file() else mask)
    view = View(fit_of(size_px, image.bucket_px, buckets), mirrored)
    return mask_seen(read_mask_picture(mask, size_px), view, rules)


def fit_of(size_px: Size, bucket_px: Size, buckets: BucketRules | None) -> Fit:
    """How a picture comes into the bucket that was chosen for it; that may have been prepared with other rules."""
    fit = buckets.fit(size_px) if buckets else None
    return fit if fit and fit.bucket_px == bucket_px else cover(size_px, bucket_px)


def sizes_of(original_px: Size, fit: Fit, mirrored: bool) -> Sizes:
    """What is told of a picture that came into its bucket like this; a mirror image is cut from the other side."""
    left, top, right, _ = fit.crop_ltrb
    return Sizes(original_px, (fit.resized_px[0] - right if mirrored else left, top), fit.bucket_px)


def as_mask(mask_HW: "np.ndarray | None") -> "torch.Tensor | None":
    """A mask in px as it counts for latents."""
    import torch

    return None if mask_HW is None else torch.from_numpy(latents_mask(mask_HW))
