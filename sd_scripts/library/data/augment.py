"""How a picture is seen each time it is shown: its crop, its mirror image, its colours, its mask. Needs no torch.

What is drawn by lot derives from (seed, epoch, item) and from its purpose, so that switching one way of changing a
picture on leaves the draws of the others as they are.
"""

import math
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from sd_scripts.library.data.buckets import LATENT_PX, Fit, Size
from sd_scripts.library.data.images import on_white, open_image_with_alpha, without_alpha
from sd_scripts.library.data.resize import Interpolation, fill_bucket
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.errors import BadOption
from sd_scripts.library.seeds import derive

if TYPE_CHECKING:
    import numpy as np
    from PIL import Image

Draws = Callable[[str], random.Random]
"""The random numbers of one showing, by purpose."""


@dataclass(frozen=True)
class PictureRules:
    """How pictures are changed; the names are those of the options."""

    flip_aug: bool = False
    color_aug: bool = False
    random_crop: bool = False
    face_crop_aug_range: tuple[float, float] | None = None
    alpha_mask: bool = False
    resize_interpolation: Interpolation | None = None

    @property
    def changing(self) -> tuple[str, ...]:
        """The options by which pixels differ each time, so that no latents made before can be trained."""
        asked = {
            "color_aug": self.color_aug,
            "random_crop": self.random_crop,
            "face_crop_aug_range": self.face_crop_aug_range is not None,
        }
        return tuple(name for name, given in asked.items() if given)


class PictureSettings(Protocol):
    """The options of pictures (options.pictures.PictureOptions)."""

    flip_aug: bool
    color_aug: bool
    random_crop: bool
    face_crop_aug_range: str | None
    alpha_mask: bool
    resize_interpolation: Interpolation | None


def picture_rules(options: PictureSettings) -> PictureRules:
    """The rules that options ask for. Errors: BadOption."""
    span = options.face_crop_aug_range
    return PictureRules(
        options.flip_aug,
        options.color_aug,
        options.random_crop,
        None if span is None else parse_face_range(span),
        options.alpha_mask,
        options.resize_interpolation,
    )


def parse_face_range(text: str) -> tuple[float, float]:
    """(low, high) of "2.0,4.0". Errors: BadOption."""
    try:
        return checked_face_range([float(part) for part in text.split(",")])
    except ValueError as error:
        raise BadOption("face_crop_aug_range", _no_range(f'"{text}"')) from error


def checked_face_range(numbers: list[float]) -> tuple[float, float]:
    """The range, when it is one: two numbers above 0, the smaller one first. Errors: BadOption."""
    if len(numbers) != 2 or not all(math.isfinite(number) and number > 0 for number in numbers):
        raise BadOption("face_crop_aug_range", _no_range(",".join(map(str, numbers))))
    low, high = numbers
    if low > high:
        advice = f"Write the smaller one first: {high},{low}."
        raise BadOption("face_crop_aug_range", f"--face_crop_aug_range {low},{high} is no range. {advice}")
    return low, high


def _no_range(written: str) -> str:
    return (
        f"--face_crop_aug_range {written} is no range. Write two numbers above 0 such as 2.0,4.0: "
        "how many times its face a picture shows, at least and at most."
    )


def check_caching(rules: PictureRules, option: str = "cache_latents") -> None:
    """Latents cannot be kept of pictures that change. Errors: BadOption."""
    for name in rules.changing:
        sentence = f"--{name} shows pictures differently each time, so --{option} has nothing to keep."
        raise BadOption(name, f"{sentence} Leave out one of the two.")


class Face(NamedTuple):
    """A face in a picture, in px of the picture as it is seen: its centre and its size."""

    x: int
    y: int
    width: int
    height: int


_FACE = re.compile(r".+_(\d+)_(\d+)_(\d+)_(\d+)", re.ASCII)


def face_of(path: Path) -> Face | None:
    """The face that a file's name tells, as in "any_name_320_200_90_110.png": centre x, y, width, height.

    Source: the names that sd-scripts' tools/detect_face_rotate.py gives to pictures.
    """
    found = _FACE.fullmatch(path.stem)
    face = Face(*map(int, found.groups())) if found else None
    return face if face and face.width and face.height else None


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


# A face of fewer px, or below this part of the bucket's short side, is not moved out of the centre.
MOVED_FACE_PX, MOVED_FACE_PART = 40, 10


def face_fit(
    size_px: Size, fit: Fit, span: tuple[float, float], face: Face, anywhere: bool, lot: random.Random
) -> Fit:
    """Scaled so that the bucket's short side is `span` times the face (drawn evenly in scale), cut around the face.

    The picture is never enlarged for that, except to cover its bucket. The face stands in the centre, moved by up to a
    twentieth of its size where the span is one; `anywhere` moves it by up to the whole picture, less far more often.
    Source: face_crop_aug_range of sd-scripts, which knows it without buckets only.
    """
    bucket_px, face_px = fit.bucket_px, max(face.width, face.height)
    short_px = min(bucket_px)
    cover = max(b / s for b, s in zip(bucket_px, size_px, strict=True))
    least = max(cover, min(1.0, short_px / (face_px * span[1])))
    most = max(least, min(1.0, short_px / (face_px * span[0])))
    scale = lot.uniform(least, most)
    # Rounding must not leave the bucket uncovered.
    resized_px = tuple(max(b, int(s * scale + 0.5)) for b, s in zip(bucket_px, size_px, strict=True))
    moved = span[0] != span[1] and face_px >= MOVED_FACE_PX and face_px > short_px // MOVED_FACE_PART

    def corner(length_px: int, cut_px: int, centre_px: int) -> int:
        at_px = centre_px - cut_px // 2
        if anywhere:
            reach_px = max(length_px - centre_px, centre_px)
            at_px += lot.randint(0, reach_px) + lot.randint(0, reach_px) - reach_px
        elif moved:
            at_px += lot.randint(-(face_px // 20), face_px // 20)
        return max(0, min(at_px, length_px - cut_px))

    centre = (int(face.x * scale + 0.5), int(face.y * scale + 0.5))
    # The height first, as there.
    top = corner(resized_px[1], bucket_px[1], centre[1])
    left = corner(resized_px[0], bucket_px[0], centre[0])
    return Fit((resized_px[0], resized_px[1]), bucket_px, (left, top))


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


def open_picture(path: Path) -> "Image.Image":
    """A picture as `see` takes it: RGBA, upright. Errors: UnreadableImage."""
    return open_image_with_alpha(path)


def see(picture: "Image.Image", view: View, rules: PictureRules) -> "tuple[np.ndarray, np.ndarray | None]":
    """(pixels_HWC uint8, mask_HW float32 0 to 1 or None) of a picture in its bucket.

    With `alpha_mask` the transparency is the mask, and colours below it stay as they are; else it is laid on white.
    """
    import numpy as np

    way = rules.resize_interpolation
    colours = without_alpha(picture) if rules.alpha_mask else on_white(picture)
    pixels_HWC = recoloured(fill_bucket(np.asarray(colours), view.fit, way), view.hue_deg, view.gamma)
    mask_HW = None
    if rules.alpha_mask:
        mask_HW = fill_bucket(np.asarray(picture.getchannel("A")), view.fit, way).astype(np.float32) / 255.0
    if view.mirrored:
        pixels_HWC = np.ascontiguousarray(pixels_HWC[:, ::-1])
        mask_HW = None if mask_HW is None else np.ascontiguousarray(mask_HW[:, ::-1])
    return pixels_HWC, mask_HW


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
