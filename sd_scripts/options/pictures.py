"""Options of how pictures are changed each time they are shown, and of masks."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.spec import PathTo


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


@dataclass(kw_only=True)
class MaskOptions:
    """Which places of a picture count in the loss."""

    masked_loss: bool = False
    """Learn only what masks show: those of conditioning_data_dir, and the transparency with alpha_mask."""

    conditioning_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of masks, named as the pictures: what is black in the red channel is not learnt, what is white is."""
