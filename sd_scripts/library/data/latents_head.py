"""What a latents file says of itself at little cost, and whether that fits what is wanted. Needs no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sd_scripts.library.data.buckets import Size, latents_hw
from sd_scripts.library.data.npz import BrokenLatents, members

if TYPE_CHECKING:
    import numpy as np

OTHER_SIZE = "they have another size"
BROKEN = "they are broken"
PICTURE_CHANGED = "the picture has changed since"
UNKNOWN_SOURCE = "they do not say what they were made from"
# What a file says of its decoding; it says nothing where its picture was decoded as it is.
REDUCED = "reduced"

DIFFERENCES = {
    "source_bytes": PICTURE_CHANGED,
    "content_hash": PICTURE_CHANGED,
    "vae_hash": "they come from another VAE",
    "precision": "they were made in another precision",
    "resize_interpolation": "they were scaled in another way (resize_interpolation)",
    "resized_size": "the picture comes into its bucket in another way",
    "decoding": "they were decoded at a reduced scale (fast_decode)",
}
"""What of a file's statements is compared, and what it means when it differs."""


class Expected(NamedTuple):
    """What latents are to be like and to be made from; None: no matter. `mirrored`: with a mirror image.

    `interpolation`, `resized_px`: how the picture is scaled, and to what size before it is cut.
    `exact`: latents of pictures that were decoded at a reduced scale are not taken. `keyed`: neither are files that do
    not say what they were made from.
    """

    mirrored: bool = False
    alpha_mask: bool | None = None
    interpolation: str | None = None
    vae_hash: str | None = None
    precision: str | None = None
    resized_px: Size | None = None
    keyed: bool = False
    exact: bool = False


ANY = Expected()


@dataclass(frozen=True)
class Head:
    """What a latents file says at little cost: the shapes of its latents and masks, and of its source what is known."""

    shapes: dict[str, tuple[int, ...]]
    facts: dict[str, Any] = field(default_factory=dict)

    def misfit(self, bucket_px: Size, flipped: bool, expected: Expected) -> str:
        """Why these latents cannot be trained, in words; empty when they can. Of whatever picture.

        What is not known (None), here or of the file, is not compared.
        """
        member = latents_member(self.shapes, bucket_px, flipped)
        if member is None:
            return OTHER_SIZE
        if expected.keyed and self.said("content_hash", bucket_px, flipped) is None:
            return UNKNOWN_SOURCE
        wanted = {
            "vae_hash": expected.vae_hash,
            "precision": expected.precision,
            "resize_interpolation": expected.interpolation,
            "resized_size": expected.resized_px and list(expected.resized_px),
        }
        for name, value in wanted.items():
            told = self.said(name, bucket_px, flipped)
            if None not in (told, value) and told != value:
                return DIFFERENCES[name]
        if expected.exact and self.said("decoding", bucket_px, flipped) == REDUCED:
            return DIFFERENCES["decoding"]
        has_mask = mask_member(self.shapes, bucket_px) is not None
        if expected.alpha_mask is None or has_mask == expected.alpha_mask:
            return ""
        return "they carry an alpha mask, and --alpha_mask is not given" if has_mask else "they carry no alpha mask"

    def said(self, name: str, bucket_px: Size, flipped: bool) -> Any:
        """What the file says of the latents of a bucket; None where it does not."""
        height, width = latents_hw(bucket_px)
        member = latents_member(self.shapes, bucket_px, flipped) or ""
        return self.facts.get(f"{name}_{height}x{width}" if member.endswith(f"_{height}x{width}") else name)


def read_head(path: Path, whole: bool = False) -> Head:
    """The head of a file of either layout. `whole`: all of it is read and checked. Errors: BrokenLatents."""
    from numpy.lib import format as npy

    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shapes: dict[str, tuple[int, ...]] = {}
    facts: dict[str, Any] = {}
    with members(path) as (names, opened):
        for name in names:
            is_large = name == "arr_0" or name.startswith(("latents", "alpha_mask"))
            is_fact = name.startswith(tuple(DIFFERENCES))
            if not (is_large or is_fact or whole):
                continue
            with opened(name) as member:
                if is_large and not whole:
                    shapes[name] = headers[npy.read_magic(member)](member)[0]
                    continue
                # Reading to the end of a member compares its checksum.
                array = npy.read_array(member, allow_pickle=False)
            if is_large:
                shapes[name] = _finite(array).shape
            elif is_fact:
                facts[name] = array.tolist()
    return Head(shapes, facts)


def _finite(array: "np.ndarray") -> "np.ndarray":
    import numpy as np

    if array.dtype.kind not in "fu" or not np.isfinite(array).all():
        raise BrokenLatents("it does not hold numbers")
    return array


def latents_member(shapes: dict[str, tuple[int, ...]], bucket_px: Size, flipped: bool) -> str | None:
    """The array that holds latents of a bucket; `arr_0` serves both ways, since there the file's name says which."""
    height, width = latents_hw(bucket_px)
    name = "latents_flipped" if flipped else "latents"
    candidates = ("arr_0", f"{name}_{height}x{width}", name)
    return next((c for c in candidates if len(shapes.get(c, ())) == 3 and shapes[c][1:] == (height, width)), None)


def mask_member(shapes: dict[str, tuple[int, ...]], bucket_px: Size) -> str | None:
    """The array that holds the mask of a bucket, which has its size in px."""
    height, width = latents_hw(bucket_px)
    candidates = (f"alpha_mask_{height}x{width}", "alpha_mask")
    return next((c for c in candidates if shapes.get(c) == (bucket_px[1], bucket_px[0])), None)
