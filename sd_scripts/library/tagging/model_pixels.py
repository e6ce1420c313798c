"""What models get to see: pictures read, scaled and made numbers. Needs no torch: worker processes import it."""

import math
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library.data.images import PictureFile, Size, on_white, ready_decoders
from sd_scripts.library.errors import BadFile

if TYPE_CHECKING:
    import numpy as np
    from PIL.Image import Image

# A longer strip, scaled by its short side, would cost gigabytes; models look at its centre only.
LONGEST_STRIP = 16.0


def ready_readers() -> None:
    """Imports pillow, and OpenCV, whose own threads stay away: those that read pictures share the cores already."""
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
    import cv2  # noqa: F401

    ready_decoders()


def read_to_shrink(path: Path, needed: Callable[[Size], Size], fast: bool) -> "Image":
    """A picture as RGB that will be scaled to the size `needed` for its own (width, height) in px.

    `fast`: a JPEG that is much larger is decoded at a reduced scale. Errors: UnreadableImage.
    """
    file = PictureFile(path)
    return file.decoded(needed(file.size_px) if fast else None, on_white)


def fitting(size_px: Size, within_px: Size) -> Size:
    """The largest size of the same shape that lies within another."""
    scale = min(inner / outer for inner, outer in zip(within_px, size_px, strict=True))
    return _scaled(size_px, scale)


def covering(size_px: Size, short_px: int) -> Size:
    """The size of the same shape whose short side is `short_px` long."""
    return _scaled(size_px, short_px / min(size_px))


def _scaled(size_px: Size, scale: float) -> Size:
    return math.ceil(size_px[0] * scale), math.ceil(size_px[1] * scale)


@dataclass(frozen=True)
class ModelPixels:
    """From a picture's path to the array (C,H,W) that a model takes: what transformers' image processors do.

    `side_px`: the size, or the short side's length, that pictures are scaled to, by pillow's way `resample`;
    `crop_px`: the part from the middle that is taken then. `levels_CV` gives each channel's number for a byte.
    `fast`: a large JPEG is decoded at a reduced scale.
    """

    side_px: Size | int | None
    crop_px: Size | None
    resample: int
    levels_CV: "np.ndarray"
    fast: bool = False

    def __call__(self, path: Path) -> "np.ndarray":
        """Errors: UnreadableImage."""
        import numpy as np
        from PIL.Image import Resampling

        image = read_to_shrink(path, self._needed, self.fast)
        if self.crop_px and isinstance(self.side_px, int):
            image = centre_of_strip(image)
        if self.side_px:
            image = image.resize(self._size_of(image.size), Resampling(self.resample))
        pixels_HWC = np.asarray(middle_of(image, self.crop_px) if self.crop_px else image)
        return np.stack([levels[pixels_HWC[:, :, channel]] for channel, levels in enumerate(self.levels_CV)])

    def _needed(self, size_px: Size) -> Size:
        return covering(size_px, self.side_px) if isinstance(self.side_px, int) else self.side_px or size_px

    def _size_of(self, size_px: Size) -> Size:
        """As transformers rounds it: the long side is cut to whole pixels."""
        if not isinstance(self.side_px, int):
            return self.side_px or size_px
        long_px = int(self.side_px * max(size_px) / min(size_px))
        return (self.side_px, long_px) if size_px[0] <= size_px[1] else (long_px, self.side_px)


def pixels_for(processor: Any, fast: bool = False) -> ModelPixels:
    """What an image processor of transformers says of its pictures. Errors: BadFile."""
    import numpy as np

    said = processor.to_dict()
    side_px = _side(said["size"]) if said.get("do_resize", True) else None
    crop = said["crop_size"] if said.get("do_center_crop") else None
    values_CV = np.tile(np.arange(256, dtype=np.float32), (3, 1))
    if said.get("do_rescale", True):
        values_CV *= np.float32(said["rescale_factor"])
    if said.get("do_normalize", True):
        mean_C, deviation_C = (np.array(said[name], np.float32) for name in ("image_mean", "image_std"))
        values_CV = (values_CV - mean_C[:, None]) / deviation_C[:, None]
    crop_px = (crop["width"], crop["height"]) if crop else None
    return ModelPixels(side_px, crop_px, int(said["resample"]), values_CV, fast)


def _side(size: Any) -> Size | int:
    if size.get("height") and size.get("width"):
        return size["width"], size["height"]
    if size.get("shortest_edge") and not size.get("longest_edge"):
        return int(size["shortest_edge"])
    raise BadFile(f"The model's preprocessor_config.json scales pictures in a way that is not known: size {size}.")


def middle_of(image: "Image", size_px: Size) -> "Image":
    """The part of that size from the middle; black around it where the picture is smaller."""
    left, top = (image.width - size_px[0]) // 2, (image.height - size_px[1]) // 2
    return image.crop((left, top, left + size_px[0], top + size_px[1]))


def centre_of_strip(image: "Image") -> "Image":
    """The middle of a picture that is longer than LONGEST_STRIP times its short side; any other as it is."""
    longest_px = math.ceil(min(image.size) * LONGEST_STRIP)
    if max(image.size) <= longest_px:
        return image
    return middle_of(image, (min(image.width, longest_px), min(image.height, longest_px)))
