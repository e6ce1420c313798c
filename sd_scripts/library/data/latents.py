"""Latents kept beside the pictures: the .npz files, and whether they still fit. Needs no torch.

`<stem>.npz` and, mirrored, `<stem>_flip.npz` hold `arr_0` (4,H/8,W/8): the VAE's posterior sample, not scaled; and what
it was made from. The layout of sd-scripts' --cache_latents_to_disk, `<stem>_<W>x<H>_sd.npz`, is read as well.
"""

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from sd_scripts.library.data.buckets import Fit, Size, latents_hw
from sd_scripts.library.io.atomic import replacing

if TYPE_CHECKING:
    import numpy as np

FORMAT = 1

SCALED_OTHERWISE = "they were scaled in another way (resize_interpolation)"


class BrokenLatents(Exception):
    """A latents file that cannot be read; the text says why."""


@dataclass(frozen=True)
class MadeFrom:
    """What latents were made from. They fit as long as all of this is the same."""

    content_hash: str
    source_bytes: int
    original_px: Size
    fit: Fit
    vae_hash: str
    precision: str
    interpolation: str = ""

    def difference(self, other: "MadeFrom") -> str:
        """What `other` has changed, in words; empty when it fits."""
        if self.content_hash != other.content_hash:
            return "the picture has changed"
        if self.fit != other.fit:
            return "the bucket is another"
        if self.vae_hash != other.vae_hash:
            return "the VAE is another"
        if self.interpolation != other.interpolation:
            return SCALED_OTHERWISE
        return "the precision is another" if self.precision != other.precision else ""


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


def content_hash(data: bytes) -> str:
    """What names a file's content, in 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


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
    name = _member(read_head(path).shapes, bucket_px, flipped)
    if name is None:
        raise BrokenLatents(OTHER_SIZE)
    return _checked(read_arrays(path, (name,))[name])


def read_mask(path: Path, bucket_px: Size, flipped: bool = False) -> "np.ndarray | None":
    """float32 alpha mask (H,W px, 0 to 1) of a bucket, from a file of either layout; None where there is none.

    Errors: BrokenLatents.
    """
    import numpy as np

    shapes = read_head(path).shapes
    name = _mask_member(shapes, bucket_px)
    if name is None:
        return None
    mask_HW = read_arrays(path, (name,))[name]
    if mask_HW.dtype.kind not in "fu" or not np.isfinite(mask_HW).all():
        raise BrokenLatents("its alpha mask does not hold numbers")
    # In the layout that holds both ways the mask is that of the plain picture.
    mirrored = flipped and "arr_0" not in shapes
    return np.ascontiguousarray(mask_HW[:, ::-1] if mirrored else mask_HW, dtype=np.float32).clip(0.0, 1.0)


OTHER_SIZE = "they have another size"


@dataclass(frozen=True)
class Head:
    """What a latents file says at little cost: the shapes of its latents and masks, and of its source what is known."""

    shapes: dict[str, tuple[int, ...]]
    facts: dict[str, Any] = field(default_factory=dict)

    def misfit(self, bucket_px: Size, flipped: bool, source: "Source", expected: "Expected") -> str:
        """Why these latents cannot be trained, in words; empty when they can.

        What is not known (None), here or of the file, is not compared.
        """
        member = _member(self.shapes, bucket_px, flipped)
        if member is None:
            return OTHER_SIZE
        height, width = latents_hw(bucket_px)
        ending = f"_{height}x{width}" if member.endswith(f"_{height}x{width}") else ""
        wanted = {**source._asdict(), "resize_interpolation": expected.interpolation}
        for name, words in DIFFERENCES.items():
            told = self.facts.get(name + ending)
            if None not in (told, wanted[name]) and told != wanted[name]:
                return words
        has_mask = _mask_member(self.shapes, bucket_px) is not None
        if expected.alpha_mask is None or has_mask == expected.alpha_mask:
            return ""
        return "they carry an alpha mask, and --alpha_mask is not given" if has_mask else "they carry no alpha mask"


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


def read_head(path: Path) -> Head:
    """The head of a file of either layout. Errors: BrokenLatents."""
    from numpy.lib import format as npy

    headers = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}
    shapes: dict[str, tuple[int, ...]] = {}
    facts: dict[str, Any] = {}
    with _members(path) as (names, opened):
        for name in names:
            if name == "arr_0" or name.startswith(("latents", "alpha_mask")):
                with opened(name) as member:
                    shapes[name] = headers[npy.read_magic(member)](member)[0]
            elif name.startswith(tuple(DIFFERENCES)):
                with opened(name) as member:
                    facts[name] = npy.read_array(member, allow_pickle=False).item()
    return Head(shapes, facts)


# NotImplementedError, a RuntimeError, stands for kinds of compression and encryption that zipfile cannot read.
_READ_ERRORS = (OSError, ValueError, KeyError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error)


@contextmanager
def _members(path: Path) -> Iterator[tuple[list[str], Callable[[str], IO[bytes]]]]:
    """The names of a file's arrays, and a function that opens one. Errors in the block become BrokenLatents."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = [member.removesuffix(".npy") for member in archive.namelist()]
            yield names, lambda name: archive.open(f"{name}.npy")
    except _READ_ERRORS as error:
        raise BrokenLatents(f"the file is broken ({error})") from error


def read_arrays(path: Path, wanted: tuple[str, ...] = ()) -> "dict[str, np.ndarray]":
    """The arrays of a file, or those of some names. Nothing pickled is read, since that could run anything.

    Errors: BrokenLatents.
    """
    from numpy.lib import format as npy

    arrays = {}
    with _members(path) as (names, opened):
        for name in names:
            if not wanted or name in wanted:
                with opened(name) as member:
                    arrays[name] = npy.read_array(member, allow_pickle=False)
    return arrays


def _checked(latents_CHW: "np.ndarray") -> "np.ndarray":
    import numpy as np

    if latents_CHW.ndim != 3 or latents_CHW.dtype.kind != "f":
        raise BrokenLatents(f"it holds {latents_CHW.dtype} {latents_CHW.shape}, not latents")
    if not np.isfinite(latents_CHW).all():
        raise BrokenLatents("its latents are not finite numbers")
    return latents_CHW.astype(np.float32, copy=False)


def _member(shapes: dict[str, tuple[int, ...]], bucket_px: Size, flipped: bool) -> str | None:
    """The array that holds latents of a bucket; `arr_0` serves both ways, since there the file's name says which."""
    height, width = latents_hw(bucket_px)
    name = "latents_flipped" if flipped else "latents"
    candidates = ("arr_0", f"{name}_{height}x{width}", name)
    return next((c for c in candidates if len(shapes.get(c, ())) == 3 and shapes[c][1:] == (height, width)), None)


def _mask_member(shapes: dict[str, tuple[int, ...]], bucket_px: Size) -> str | None:
    """The array that holds the mask of a bucket, which has its size in px."""
    height, width = latents_hw(bucket_px)
    candidates = (f"alpha_mask_{height}x{width}", "alpha_mask")
    return next((c for c in candidates if shapes.get(c) == (bucket_px[1], bucket_px[0])), None)


def facts_of(made: MadeFrom) -> dict[str, Any]:
    """What a file says of its latents, by the names of its arrays."""
    return {
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
        )
    except (KeyError, ValueError, TypeError):
        return None
