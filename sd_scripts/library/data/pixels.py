"""Pictures brought to a size and written: their transparency stays where the file can hold it. Needs no torch."""

from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.buckets import Fit
from sd_scripts.library.data.images import on_white, open_image_with_alpha
from sd_scripts.library.data.resize import Interpolation, fill_bucket
from sd_scripts.library.io.atomic import replacing

if TYPE_CHECKING:
    import numpy as np


def read_pixels(path: Path, keep_alpha: bool) -> "np.ndarray":
    """uint8 H,W,3, or H,W,4 where a picture has transparency that is to be kept. Errors: UnreadableImage."""
    import numpy as np

    image = open_image_with_alpha(path)
    transparent = image.mode == "RGBA" and image.getextrema()[3][0] < 255
    return np.asarray(image if keep_alpha and transparent else on_white(image))


def write_fitted(image_HWC: "np.ndarray", fit: Fit, target: Path, interpolation: Interpolation | None = None) -> None:
    """Writes a picture, scaled and cut, as its ending says: .png or .jpg. Errors: BadFile."""
    from PIL import Image

    fitted = Image.fromarray(fill_bucket(image_HWC, fit, interpolation))
    more = {} if target.suffix == ".png" else {"quality": 100, "subsampling": 0}
    with replacing(target) as beside:
        fitted.save(beside, **more)
