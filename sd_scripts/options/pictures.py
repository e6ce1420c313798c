"""Options of how pictures are changed each time they are shown."""

from dataclasses import dataclass
from typing import Literal


@dataclass(kw_only=True)
class PictureOptions:
    """How pictures are changed each time they are shown, and how they are scaled."""

    flip_aug: bool = False
    """Mirror half of the showings. Not for lopsided subjects."""

    color_aug: bool = False
    """Change the hue or the brightness of every third showing a little."""

    random_crop: bool = False
    """Draw the place where a picture is cut to its size, instead of cutting around its centre."""

    face_crop_aug_range: str | None = None
    """Cut around faces (files named name_x_y_width_height.png), to show 2.0,4.0 times their size: least,most."""

    alpha_mask: bool = False
    """Take the pictures' transparency as a mask: what is transparent does not count in the loss."""

    resize_interpolation: Literal["lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area"] | None = None
    """How pictures are scaled. Empty: area averaging to shrink, Lanczos to enlarge."""
