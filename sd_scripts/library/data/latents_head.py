"""What a latents file says of itself at little cost, and whether that fits what is wanted. Needs no torch."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.library.data.buckets import Size, latents_hw
from sd_scripts.library.data.npz import members

OTHER_SIZE = "they have another size"

SCALED_OTHERWISE = "they were scaled in another way (resize_interpolation)"

DIFFERENCES = {
    "source_bytes": "the picture has changed since",
    "content_hash": "the picture has changed since",
    "vae_hash": "they come from another VAE",
    "resize_interpolation": SCALED_OTHERWISE,
}
"""What of a file's statements is compared, and what it means when it differs."""


class Source(NamedTuple):
    """The picture and the VAE that latents should come from; None: of whatever."""

    source_bytes: int | None = None
    content_hash: str | None = None
    vae_hash: str | None = None


class Expected(NamedTuple):
    """What the latents of a picture are to be like; None: no matter. `mirrored`: with a mirror image."""

    mirrored: bool = False
    alpha_mask: bool | None = None
    interpolation: str | None = None


ANY = Expected()


@dataclass(frozen=True)
class Head:
    """What a latents file says at little cost: the shapes of its latents and masks, and of its source what is known."""

    shapes: dict[str, tuple[int, ...]]
    facts: dict[str, Any] = field(default_factory=dict)

    def misfit(self, bucket_px: Size, flipped: bool, source: Source, expected: Expected) -> str:
        """Why these latents cannot be trained, in words; empty when they can.

        What is not known (None), here or of the file, is not compared.
        """
        member = latents_member(self.shapes, bucket_px, flipped)
        if member is None:
            return OTHER_SIZE
        height, width = latents_hw(bucket_px)
        ending = f"_{height}x{width}" if member.endswith(f"_{height}x{width}") else ""
        wanted = {**source._asdict(), "resize_interpolation": expected.interpolation}
        for name, words in DIFFERENCES.items():
            told = self.facts.get(name + ending)
            if None not in (told, wanted[name]) and told != wanted[name]:
                return words
        has_mask = mask_member(self.shapes, bucket_px) is not None
        if expected.alpha_mask is None or has_mask == expected.alpha_mask:
            return ""
        return "they carry an alpha mask, and --alpha_mask is not given" if has_mask else "they carry no alpha mask"


def read_head(path: Path) -> Head:
    """The head of a file of either layout. Errors: BrokenLatents."""
    from numpy.lib import format as npy

    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shapes: dict[str, tuple[int, ...]] = {}
    facts: dict[str, Any] = {}
    with members(path) as (names, opened):
        for name in names:
            if name == "arr_0" or name.startswith(("latents", "alpha_mask")):
                with opened(name) as member:
                    shapes[name] = headers[npy.read_magic(member)](member)[0]
            elif name.startswith(tuple(DIFFERENCES)):
                with opened(name) as member:
                    facts[name] = npy.read_array(member, allow_pickle=False).item()
    return Head(shapes, facts)


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
