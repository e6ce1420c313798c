"""How a picture is seen each time it is shown: its crop, its mirror image, its colours, its mask. Needs no torch.

What is drawn by lot derives from (seed, epoch, item) and from its purpose, so that switching one way of changing a
picture on leaves the draws of the others as they are.
"""

import functools
import operator
import random
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from sd_scripts.library.data.buckets import LATENT_PX, Fit, Size
from sd_scripts.library.data.faces import Face, face_fit
from sd_scripts.library.data.images import on_white, without_alpha
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.data.resize import fill_bucket
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.seeds import derive

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Draws = Callable[[str], random.Random]
"""The random numbers of one showing, by purpose."""


class View(NamedTuple):
    """One way to see a picture. `hue_deg` turns its colours, `gamma` bends its brightness."""

    fit: Fit
    mirrored: bool = False
    hue_deg: float = 0.0
    gamma: float = 1.0

    def told(self) -> str:
        """The view in words, as far as it is special."""
        left, top, _, _ = self.fit.crop_ltrb
        words = [f"scaled to {self.fit.resized_px[0]} x {self.fit.resized_px[1]}, cut at {left}, {top}"]
        words += ["mirrored"] if self.mirrored else []
        words += [f"hue {self.hue_deg:+.1f} degrees"] if self.hue_deg else []
        words += [f"gamma {self.gamma:.3f}"] if self.gamma != 1.0 else []
        return ", ".join(words)


def draws_of(item: Item, moment: Moment) -> Draws:
    """The random numbers of an item: of its seed, epoch and place, never of the step."""
    return lambda purpose: random.Random(derive(moment.seed, purpose, moment.epoch, *item))


def is_mirrored(item: Item, moment: Moment) -> bool:
    """Whether a showing draws the mirror image: half of them do."""
    return derive(moment.seed, "flip", moment.epoch, *item) % 2 == 1


def draw_view(size_px: Size, fit: Fit, rules: PictureRules, face: Face | None, item: Item, moment: Moment) -> View:
    """How an item of a picture of this size is seen. `fit` is how it comes into its bucket when nothing changes it."""
    draws = draws_of(item, moment)
    mirrored = rules.flip_aug and is_mirrored(item, moment)
    hue_deg, gamma = draw_colours(draws("color")) if rules.color_aug else (0.0, 1.0)
    if face and rules.face_crop_aug_range:
        fit = face_fit(size_px, fit, rules.face_crop_aug_range, face, rules.random_crop, draws("crop"))
    elif rules.random_crop:
        fit = random_fit(fit, draws("crop"))
    return View(fit, mirrored, hue_deg, gamma)


def random_fit(fit: Fit, lot: random.Random) -> Fit:
    """The same, cut at any place of the scaled picture, each as likely as the others."""
    left, top = (lot.randint(0, r - b) for r, b in zip(fit.resized_px, fit.bucket_px, strict=True))
    return fit._replace(corner_px=(left, top))


# One showing in three has other colours: half of those another hue, the other half another gamma.
COLOR_SHARE = 0.33
HUE_LIMIT_DEG = 16.0
GAMMA_LOW, GAMMA_HIGH = 0.95, 1.05


def draw_colours(lot: random.Random) -> tuple[float, float]:
    """(hue_deg, gamma) of a showing with --color_aug: weak, and only one of the two.

    Source: color_aug of sd-scripts: by 33 %, either the hue by up to 8 of OpenCV's 180 units, or gamma 0.95 to 1.05.
    """
    if lot.random() > COLOR_SHARE:
        return 0.0, 1.0
    if lot.random() > 0.5:
        return lot.uniform(-HUE_LIMIT_DEG, HUE_LIMIT_DEG), 1.0
    return 0.0, lot.uniform(GAMMA_LOW, GAMMA_HIGH)


def see(
    picture: "Image.Image", view: View, rules: PictureRules, mask_HW: "np.ndarray | None" = None
) -> "tuple[np.ndarray, np.ndarray | None]":
    """(pixels_HWC uint8, mask_HW float32 0 to 1 or None) of a picture (RGB or RGBA, upright) in its bucket.

    With `alpha_mask` the transparency is the mask, and colours below it stay as they are; else it is laid on white.
    `mask_HW`: a mask (uint8) of the picture's size; where there are two, a place counts as their product.
    """
    import numpy as np

    way = rules.resize_interpolation
    colours = without_alpha(picture) if rules.alpha_mask else on_white(picture)
    pixels_HWC = recoloured(fill_bucket(np.asarray(colours), view.fit, way), view.hue_deg, view.gamma)
    alpha_HW = _alpha(picture) if rules.alpha_mask else None
    masks = [mask_seen(mask, view, rules) for mask in (alpha_HW, mask_HW) if mask is not None]
    return _turned(pixels_HWC, view), both(*masks)


def _alpha(picture: "Image.Image") -> "np.ndarray":
    import numpy as np

    transparent = picture.mode == "RGBA"
    return np.asarray(picture.getchannel("A")) if transparent else np.full(picture.size[::-1], 255, np.uint8)


def mask_seen(mask_HW: "np.ndarray", view: View, rules: PictureRules) -> "np.ndarray":
    """A mask (uint8, of the picture's size) in the bucket, as the picture is seen: float32 0 to 1."""
    import numpy as np

    return _turned(fill_bucket(mask_HW, view.fit, rules.resize_interpolation).astype(np.float32) / 255.0, view)


def both(*masks_HW: "np.ndarray | None") -> "np.ndarray | None":
    """The product of masks; None where there are none."""
    there = [mask_HW for mask_HW in masks_HW if mask_HW is not None]
    return functools.reduce(operator.mul, there) if there else None


def _turned(image_HW: "np.ndarray", view: View) -> "np.ndarray":
    import numpy as np

    return np.ascontiguousarray(image_HW[:, ::-1]) if view.mirrored else image_HW


def recoloured(pixels_HWC: "np.ndarray", hue_deg: float, gamma: float) -> "np.ndarray":
    """The same uint8 picture with its hue turned, and every value v (of 0 to 1) made v ** gamma."""
    import cv2
    import numpy as np

    if hue_deg:
        hsv_HWC = cv2.cvtColor(pixels_HWC.astype(np.float32) / 255.0, cv2.COLOR_RGB2HSV)
        hsv_HWC[..., 0] = (hsv_HWC[..., 0] + hue_deg) % 360.0
        pixels_HWC = (cv2.cvtColor(hsv_HWC, cv2.COLOR_HSV2RGB) * 255.0).round().clip(0, 255).astype(np.uint8)
    if gamma != 1.0:
        table = ((np.arange(256) / 255.0) ** gamma * 255.0).round().astype(np.uint8)
        pixels_HWC = table[pixels_HWC]
    return pixels_HWC


def latents_mask(mask_HW: "np.ndarray") -> "np.ndarray":
    """The mask in the size of the latents: each place is the mean over its 8 x 8 px."""
    import numpy as np

    height, width = (side // LATENT_PX for side in mask_HW.shape)
    blocks = mask_HW[: height * LATENT_PX, : width * LATENT_PX].reshape(height, LATENT_PX, width, LATENT_PX)
    return np.asarray(blocks.mean(axis=(1, 3)), dtype=np.float32)
