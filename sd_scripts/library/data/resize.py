"""Brings a picture into its bucket: scaled to cover it, then cut. Needs no torch."""

from typing import TYPE_CHECKING, Literal

from sd_scripts.library.data.buckets import Fit, Size

if TYPE_CHECKING:
    import numpy as np

# A scaled picture larger than this many times its bucket is a strip: it is cut before it is scaled.
STRIP_FACTOR = 16

Interpolation = Literal["lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area"]
"""The ways to scale by name. None stands for ours: area averaging to shrink, Lanczos to enlarge."""

# Of the names that mean the same, the one that stands in latents files.
_SAME: dict[str, str] = {"linear": "bilinear", "cubic": "bicubic"}


def same_way(interpolation: Interpolation | None) -> str:
    """One name for what scales alike; "" for ours."""
    return _SAME.get(interpolation or "", interpolation or "")


def fill_bucket(image_HWC: "np.ndarray", fit: Fit, interpolation: Interpolation | None = None) -> "np.ndarray":
    """uint8 H,W,C (or H,W) of any size -> the same of the bucket's size: the part `fit.crop_ltrb` of the scaled one."""
    import numpy as np

    (width, height), (bucket_width, bucket_height) = fit.resized_px, fit.bucket_px
    if width * height > STRIP_FACTOR * bucket_width * bucket_height:
        return _fill_from_strip(image_HWC, fit, interpolation)
    left, top, right, bottom = fit.crop_ltrb
    return np.ascontiguousarray(_scale(image_HWC, fit.resized_px, interpolation)[top:bottom, left:right])


def _scale(image_HWC: "np.ndarray", size_px: Size, interpolation: Interpolation | None) -> "np.ndarray":
    import cv2
    import numpy as np
    from PIL import Image

    height, width = image_HWC.shape[:2]
    if (width, height) == size_px:
        return image_HWC
    # Lanczos that is asked for is pillow's, which averages while it shrinks; OpenCV's would leave out pixels.
    if interpolation == "lanczos":
        return np.asarray(Image.fromarray(image_HWC).resize(size_px, Image.Resampling.LANCZOS))
    shrinks = size_px[0] * size_px[1] < width * height
    kernels = {
        "": cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4,
        "nearest": cv2.INTER_NEAREST_EXACT,
        "bilinear": cv2.INTER_LINEAR,
        "bicubic": cv2.INTER_CUBIC,
        "area": cv2.INTER_AREA,
    }
    try:
        return cv2.resize(image_HWC, size_px, interpolation=kernels[same_way(interpolation)])
    except cv2.error as error:  # Of a picture that can be read and a size above 0, only memory is too little.
        raise MemoryError from error


def _fill_from_strip(image_HWC: "np.ndarray", fit: Fit, interpolation: Interpolation | None) -> "np.ndarray":
    """The same part, taken from the picture before it is scaled, so that a strip of any length costs no memory."""
    import numpy as np
    from PIL import Image

    height, width = image_HWC.shape[:2]
    across, down = width / fit.resized_px[0], height / fit.resized_px[1]
    left, top, right, bottom = fit.crop_ltrb
    box = (left * across, top * down, min(right * across, width), min(bottom * down, height))
    shrinks = across * down > 1
    kernels = {
        "": Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS,
        "lanczos": Image.Resampling.LANCZOS,
        "nearest": Image.Resampling.NEAREST,
        "bilinear": Image.Resampling.BILINEAR,
        "bicubic": Image.Resampling.BICUBIC,
        "area": Image.Resampling.BOX,
    }
    return np.asarray(Image.fromarray(image_HWC).resize(fit.bucket_px, kernels[same_way(interpolation)], box=box))
