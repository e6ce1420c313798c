"""The buckets that a form asks for: those of a training, and those that Latents prepares."""

from functools import lru_cache

from kohya_gui import fixes
from kohya_gui.draft import Draft, Fix
from sd_scripts.library.data.buckets import LATENT_PX, BucketRules, Size, checked_rules, parse_resolution
from sd_scripts.library.data.dataset_options import rules_of
from sd_scripts.library.errors import BadOption
from sd_scripts.options.data import ResolutionOptions
from sd_scripts.options.spec import from_values

LATENTS_FLAGS = ("max_resolution", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale")
"""The options that `latents_buckets` takes, in its order."""

_WOULD_DO = {
    "min_bucket_reso": (128, *range(120, 0, -8)),
    "max_bucket_reso": range(1088, 8193, 64),
    "max_resolution": ("512,512",),
    "resolution": ("512,512",),
}
"""{option: values of which the first that the others allow is proposed, where its default is not allowed}"""

# Latents have four channels of float32; a file has a head besides.
_LATENT_BYTES, _HEAD_BYTES = 4 * 4, 1000


def asked_buckets(draft: Draft) -> BucketRules | None:
    """None for a training without a resolution. Errors: BadOption, for buckets that cannot be."""
    if draft.stage.trains:
        return rules_of(from_values(ResolutionOptions, draft.values))
    return latents_buckets(*map(draft.get, LATENTS_FLAGS))


def possible_buckets(draft: Draft) -> BucketRules | None:
    """None where none are asked for, and where they cannot be."""
    try:
        return asked_buckets(draft)
    except BadOption:
        return None


def mends(draft: Draft, option: str) -> tuple[Fix, ...]:
    """A value with which the buckets can be; none where it hangs on other options too."""
    usual = [fixes.leave_out(draft, option)] if draft.specs[option].default else []
    others = (fixes.set_to(draft, option, value) for value in _WOULD_DO.get(option, ()))
    return next(((fix,) for fix in (*usual, *others) if _blamed(draft.mended(fix)) != option), ())


def _blamed(draft: Draft) -> str | None:
    """The option because of which the buckets cannot be."""
    try:
        asked_buckets(draft)
    except BadOption as error:
        return error.option
    return None


@lru_cache(maxsize=8)
def latents_buckets(resolution: str, min_px: int, max_px: int, step_px: int, no_upscale: bool) -> BucketRules:
    """Kept, as rules remember the fit of every size. Errors: BadOption, for buckets that cannot be."""
    size_px = parse_resolution(resolution, "max_resolution")
    return checked_rules(BucketRules(size_px, min_px, max_px, step_px, no_upscale), "max_resolution")


def latents_bytes(size_px: Size, mirrored: bool) -> int:
    """The disk that the latents of a picture in a bucket take, with those of its mirrored self."""
    one = size_px[0] * size_px[1] // LATENT_PX**2 * _LATENT_BYTES + _HEAD_BYTES
    return one * (2 if mirrored else 1)
