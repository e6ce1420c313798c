"""Latents kept beside the pictures: the .npz files. Needs no torch.

`<stem>.npz` and, mirrored, `<stem>_flip.npz` hold `arr_0` (4,H/8,W/8): the VAE's posterior sample, not scaled; and what
it was made from. The layout of sd-scripts' --cache_latents_to_disk, `<stem>_<W>x<H>_sd.npz`, is read as well.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library.data.buckets import Fit, Size, latents_hw
from sd_scripts.library.data.latents_head import OTHER_SIZE, REDUCED, latents_member, mask_member, read_head
from sd_scripts.library.data.npz import BrokenLatents, read_arrays
from sd_scripts.library.io.atomic import replacing

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1


@dataclass(frozen=True)
class MadeFrom:
    """What latents were made from. They fit as long as all of this is the same.

    `reduced`: of a picture that was decoded at a reduced scale; exact ones fit as well where that is wanted.
    """

    content_hash: str
    source_bytes: int
    original_px: Size
    fit: Fit
    vae_hash: str
    precision: str
    interpolation: str = ""
    reduced: bool = False


@dataclass(frozen=True)
class CachedLatents:
    """What a latents file holds. `made_from` is None for files of other programs, `alpha_mask_HW` is 0 to 1, in px."""

    latents_CHW: "np.ndarray"
    made_from: MadeFrom | None = None
    alpha_mask_HW: "np.ndarray | None" = None


def plain_path(image: Path) -> Path:
    """The latents file of a picture."""
    return image.with_suffix(".npz")


def flip_path(image: Path) -> Path:
    """The latents file of a picture's mirror image."""
    return image.with_name(image.stem + "_flip.npz")


def write_latents(path: Path, cached: CachedLatents) -> None:
    """Writes a latents file that says what it was made from, whole or not at all. Errors: BadFile."""
    import numpy as np

    arrays = {"arr_0": np.asarray(cached.latents_CHW, dtype=np.float32)}
    if cached.alpha_mask_HW is not None:
        arrays["alpha_mask"] = np.asarray(cached.alpha_mask_HW, dtype=np.float32)
    if cached.made_from is not None:
        arrays |= {name: np.array(value) for name, value in facts_of(cached.made_from).items()}
    with replacing(path) as beside:
        np.savez(beside, **arrays)


def read_latents(path: Path) -> CachedLatents:
    """A file that `write_latents` made, or one that holds `arr_0` alone. Errors: BrokenLatents."""
    arrays = read_arrays(path)
    if "arr_0" not in arrays:
        raise BrokenLatents("it holds no latents")
    return CachedLatents(_checked(arrays["arr_0"]), _made_from(arrays), arrays.get("alpha_mask"))


def read_for_training(path: Path, bucket_px: Size, flipped: bool = False) -> "np.ndarray":
    """float32 latents (C,H,W) of a bucket, from a file of either layout. Errors: BrokenLatents.

    `flipped` matters only for the layout that holds both ways; of the other one it is the file that says it.
    """
    name = latents_member(read_head(path).shapes, bucket_px, flipped)
    if name is None:
        raise BrokenLatents(OTHER_SIZE)
    return _checked(read_arrays(path, (name,))[name])


def read_mask(path: Path, bucket_px: Size, flipped: bool = False) -> "np.ndarray | None":
    """float32 alpha mask (H,W px, 0 to 1) of a bucket, from a file of either layout; None where there is none.

    Errors: BrokenLatents.
    """
    import numpy as np

    shapes = read_head(path).shapes
    name = mask_member(shapes, bucket_px)
    if name is None:
        return None
    mask_HW = read_arrays(path, (name,))[name]
    if mask_HW.dtype.kind not in "fu" or not np.isfinite(mask_HW).all():
        raise BrokenLatents("its alpha mask does not hold numbers")
    # In the layout that holds both ways the mask is that of the plain picture.
    mirrored = flipped and "arr_0" not in shapes
    return np.ascontiguousarray(mask_HW[:, ::-1] if mirrored else mask_HW, dtype=np.float32).clip(0.0, 1.0)


def read_origin(path: Path, bucket_px: Size) -> tuple[Size, Fit] | None:
    """(size of the picture, how it came into the bucket) as a file of either layout says; None where it does not.

    Other programs do not say how large the scaled picture was: then the cut counts as central.
    """
    height, width = latents_hw(bucket_px)
    endings = (f"_{height}x{width}", "")
    try:
        arrays = read_arrays(path, tuple(name + ending for name in _ORIGIN for ending in endings))
        original, crop, *scaled = (
            [int(side) for side in arrays[name + ending].tolist()]
            for name in _ORIGIN
            if (ending := next((e for e in endings if name + e in arrays), None)) is not None
        )
        (width, height), (left, top, right, bottom) = original, crop
        scaled_width, scaled_height = scaled[0] if scaled else (left + right, top + bottom)
    except (BrokenLatents, AttributeError, ValueError, TypeError):
        return None
    return (width, height), Fit((scaled_width, scaled_height), bucket_px, (left, top))


_ORIGIN = ("original_size", "crop_ltrb", "resized_size")


def _checked(latents_CHW: "np.ndarray") -> "np.ndarray":
    import numpy as np

    if latents_CHW.ndim != 3 or latents_CHW.dtype.kind != "f":
        raise BrokenLatents(f"it holds {latents_CHW.dtype} {latents_CHW.shape}, not latents")
    if not np.isfinite(latents_CHW).all():
        raise BrokenLatents("its latents are not finite numbers")
    return latents_CHW.astype(np.float32, copy=False)


def facts_of(made: MadeFrom) -> dict[str, Any]:
    """What a file says of its latents, by the names of its arrays."""
    told = {"decoding": REDUCED} if made.reduced else {}
    return told | {
        "format_version": FORMAT,
        "content_hash": made.content_hash,
        "source_bytes": made.source_bytes,
        "original_size": made.original_px,
        "resized_size": made.fit.resized_px,
        "bucket_size": made.fit.bucket_px,
        "crop_ltrb": made.fit.crop_ltrb,
        "vae_hash": made.vae_hash,
        "precision": made.precision,
        "resize_interpolation": made.interpolation,
    }


def _made_from(arrays: "dict[str, np.ndarray]") -> MadeFrom | None:
    """What a file of ours says of itself; None for others, and for one whose statements are incomplete."""

    def size(name: str) -> Size:
        width, height = arrays[name].tolist()
        return width, height

    try:
        return MadeFrom(
            content_hash=str(arrays["content_hash"]),
            source_bytes=int(arrays["source_bytes"]),
            original_px=size("original_size"),
            fit=Fit(size("resized_size"), size("bucket_size")),
            vae_hash=str(arrays["vae_hash"]),
            precision=str(arrays["precision"]),
            interpolation=str(arrays.get("resize_interpolation", "")),
            reduced="decoding" in arrays,
        )
    except (KeyError, ValueError, TypeError):
        return None
