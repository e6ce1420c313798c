"""The buckets that a form asks for: those of a training, and those that Latents prepares."""

from functools import lru_cache

from kohya_gui.draft import Draft
from sd_scripts.library.data.buckets import LATENT_PX, BucketRules, Size, checked_rules, parse_resolution
from sd_scripts.library.data.dataset_options import rules_of
from sd_scripts.library.errors import BadOption
from sd_scripts.options.data import ResolutionOptions
from sd_scripts.options.spec import from_values

LATENTS_FLAGS = ("max_resolution", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps", "bucket_no_upscale")
"""The options that `latents_buckets` takes, in its order."""

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


@lru_cache(maxsize=8)
def latents_buckets(resolution: str, min_px: int, max_px: int, step_px: int, no_upscale: bool) -> BucketRules:
    """Kept, as rules remember the fit of every size. Errors: BadOption, for buckets that cannot be."""
    size_px = parse_resolution(resolution, "max_resolution")
    return checked_rules(BucketRules(size_px, min_px, max_px, step_px, no_upscale), "max_resolution")


def latents_bytes(size_px: Size, mirrored: bool) -> int:
    """The disk that the latents of a picture in a bucket take, with those of its mirrored self."""
    one = size_px[0] * size_px[1] // LATENT_PX**2 * _LATENT_BYTES + _HEAD_BYTES
    return one * (2 if mirrored else 1)
