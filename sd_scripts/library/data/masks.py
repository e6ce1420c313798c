"""Mask pictures: how much each place of another picture counts in the loss. Needs no torch."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from sd_scripts.library.data.buckets import Size
from sd_scripts.library.data.images import find_images, open_image
from sd_scripts.library.errors import BadOption

if TYPE_CHECKING:
    import numpy as np

OPTION = "conditioning_data_dir"


@dataclass(frozen=True)
class MaskFolder:
    """Finds the mask of a picture: of the same path below the folder, or else of the same name anywhere in it."""

    folder: Path

    def of(self, picture: Path) -> Path | None:
        """The mask of a picture, whatever their endings are; None where there is none. Errors: BadOption."""
        named = self._by_stem.get(picture.stem, [])
        beside = [mask for mask in named if mask.parent.name == picture.parent.name]
        found = beside or named
        if len(found) > 1:
            raise BadOption(OPTION, f"--{OPTION}: {found[0]} and {found[1]} are both masks of {picture}. Rename one.")
        return found[0] if found else None

    @cached_property
    def _by_stem(self) -> dict[str, list[Path]]:
        masks: dict[str, list[Path]] = {}
        for mask in find_images(self.folder, recursive=True, option=OPTION):
            masks.setdefault(mask.stem, []).append(mask)
        return masks


def read_mask_picture(path: Path, size_px: Size) -> "np.ndarray":
    """mask_HW (uint8): the red channel of a mask picture, scaled to the size of its picture. Errors: UnreadableImage.

    Source: the masks of sd-scripts, of which the red channel counts: 0 is not learnt, 255 fully.
    """
    import numpy as np
    from PIL import Image

    red = open_image(path).getchannel("R")
    return np.asarray(red if red.size == size_px else red.resize(size_px, Image.Resampling.BILINEAR))
