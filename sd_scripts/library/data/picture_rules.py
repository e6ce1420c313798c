"""How pictures may be changed each time they are shown: the rules that options ask for. Needs no torch."""

import math
from dataclasses import dataclass

from sd_scripts.library.data.resize import Interpolation
from sd_scripts.library.errors import BadOption
from sd_scripts.options.pictures import PictureOptions


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


def picture_rules(options: PictureOptions) -> PictureRules:
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
    """(low, high) of "2.0,4.0": two numbers above 0, the smaller one first. Errors: BadOption."""
    try:
        low, high = map(float, text.split(","))
    except ValueError as error:
        raise _no_range(text) from error
    if not (math.isfinite(low + high) and min(low, high) > 0):
        raise _no_range(text)
    if low > high:
        advice = f"Write the smaller one first: {high},{low}."
        raise BadOption("face_crop_aug_range", f'--face_crop_aug_range "{text}" is no range. {advice}')
    return low, high


def _no_range(text: str) -> BadOption:
    return BadOption(
        "face_crop_aug_range",
        f'--face_crop_aug_range "{text}" is no range. Write two numbers above 0 such as 2.0,4.0: '
        "how many times its face a picture shows, at least and at most.",
    )


def check_caching(rules: PictureRules, option: str = "cache_latents") -> None:
    """Latents cannot be kept of pictures that change. Errors: BadOption."""
    for name in rules.changing:
        sentence = f"--{name} shows pictures differently each time, so --{option} has nothing to keep."
        raise BadOption(name, f"{sentence} Leave out one of the two.")
