"""Brings a picture into its bucket: scaled to cover it, then cut from the centre. Needs no torch."""

from typing import TYPE_CHECKING

from sd_scripts.library.data.buckets import Fit

if TYPE_CHECKING:
    import numpy as np

# A scaled picture larger than this many times its bucket is a strip: it is cut before it is scaled.
STRIP_FACTOR = 16


def fill_bucket(image_HWC: "np.ndarray", fit: Fit) -> "np.ndarray":
    """uint8 H,W,C (or H,W) of any size -> the same of the bucket's size: the part `fit.crop_ltrb` of the scaled one.

    Shrinks by area averaging, enlarges by Lanczos.
    """
    import numpy as np

    (width, height), (bucket_width, bucket_height) = fit.resized_px, fit.bucket_px
    if width * height > STRIP_FACTOR * bucket_width * bucket_height:
        return _fill_from_strip(image_HWC, fit)
    left, top, right, bottom = fit.crop_ltrb
    return np.ascontiguousarray(_scale(image_HWC, fit.resized_px)[top:bottom, left:right])


def _scale(image_HWC: "np.ndarray", size_px: tuple[int, int]) -> "np.ndarray":
    import cv2

    height, width = image_HWC.shape[:2]
    if (width, height) == size_px:
        return image_HWC
    shrinks = size_px[0] * size_px[1] < width * height
    try:
        return cv2.resize(image_HWC, size_px, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LANCZOS4)
    except cv2.error as error:  # Of a picture that can be read and a size above 0, only memory is too little.
        raise MemoryError from error


def _fill_from_strip(image_HWC: "np.ndarray", fit: Fit) -> "np.ndarray":
    """The same part, taken from the picture before it is scaled, so that a strip of any length costs no memory."""
    import numpy as np
    from PIL import Image

    height, width = image_HWC.shape[:2]
    across, down = width / fit.resized_px[0], height / fit.resized_px[1]
    left, top, right, bottom = fit.crop_ltrb
    box = (left * across, top * down, min(right * across, width), min(bottom * down, height))
    shrinks = across * down > 1
    kernel = Image.Resampling.BOX if shrinks else Image.Resampling.LANCZOS
    return np.asarray(Image.fromarray(image_HWC).resize(fit.bucket_px, kernel, box=box))
