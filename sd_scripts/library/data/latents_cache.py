"""Latents in the layout of --cache_latents_to_disk: <stem>_<width>x<height>_sd.npz (_sdxl.npz), several sizes in one.

Needs no torch.

The first size has the plain names (latents, latents_flipped, original_size, crop_ltrb, alpha_mask); the names of
further ones end in _<height>x<width> of their latents. Beside them, with the same ending, stands what they were made
from.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library.data.augment import View, see
from sd_scripts.library.data.buckets import BucketRules, Size, latents_hw
from sd_scripts.library.data.images import PictureFile
from sd_scripts.library.data.known_files import content_hash, stamp_of
from sd_scripts.library.data.latents import MadeFrom, facts_of
from sd_scripts.library.data.npz import BrokenLatents, read_arrays
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.data.picture_tensors import fit_of
from sd_scripts.library.data.resize import same_way
from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import replacing

if TYPE_CHECKING:
    import numpy as np

_ENDING = re.compile(r"(?P<name>.*?)(?P<ending>_\d+x\d+)?")


@dataclass(frozen=True)
class Encodable:
    """A picture in its bucket, ready to be encoded; the mask has the bucket's size in px.

    `stamp`: the state of the picture's file that was read (known_files.py).
    """

    made_from: MadeFrom
    stamp: str
    pixels_HWC: "np.ndarray"
    mask_HW: "np.ndarray | None" = None


def read_encodable(
    image: TrainImage, buckets: BucketRules | None, rules: PictureRules, vae_hash: str, precision: str
) -> Encodable:
    """Reads a picture as it is seen when nothing is drawn by lot. Errors: UnreadableImage."""
    stamp, data = stamp_of(image.path), image.path.read_bytes()
    picture = PictureFile(image.path, data)
    fit = fit_of(picture.size_px, image.bucket_px, buckets)
    pixels_HWC, mask_HW = see(picture.decoded(), View(fit), rules)
    way = same_way(rules.resize_interpolation)
    made_from = MadeFrom(content_hash(data), len(data), picture.size_px, fit, vae_hash, precision, way)
    return Encodable(made_from, stamp, pixels_HWC, mask_HW)


def cache_path(image: Path, original_px: Size, suffix: str = "sd") -> Path:
    """The file of a picture of this size; `suffix`: sd, or sdxl for that family's VAE."""
    width, height = original_px
    return image.with_name(f"{image.stem}_{width:04d}x{height:04d}_{suffix}.npz")


def check_files(pictures: Sequence[Picture], missing: Iterable[int]) -> None:
    """Raises BadOption where a file that is to be written would serve two pictures, or one size made in two ways."""
    owners: dict[Path, Path] = {}
    shown: dict[tuple[Path, Size], tuple[bool, str]] = {}
    wanted = {pictures[index].image.path.with_suffix("") for index in missing}
    for image, rules in ((picture.image, picture.subset.pictures) for picture in pictures):
        stem = image.path.with_suffix("")
        if stem not in wanted:
            continue
        owner = owners.setdefault(stem, image.path)
        if owner != image.path:
            raise _bad(f"{owner} and {image.path} would share a file. Rename one of them.")
        way = rules.alpha_mask, same_way(rules.resize_interpolation)
        if shown.setdefault((image.path, image.bucket_px), way) != way:
            width, height = image.bucket_px
            raise _bad(
                f"{image.path} is shown at {width} x {height} px in two ways (alpha_mask, resize_interpolation), "
                "and its file holds one. Give both subsets the same, or use --cache_latents, which keeps no files."
            )


def _bad(sentence: str) -> BadOption:
    return BadOption("cache_latents_to_disk", f"--cache_latents_to_disk: {sentence}")


def add_latents(
    path: Path, source: Encodable, latents_CHW: "np.ndarray", flipped_CHW: "np.ndarray | None" = None
) -> None:
    """Writes the latents of one size, whole or not at all; other sizes of the same picture stay. Errors: BadFile."""
    import numpy as np

    kept = _other_sizes(path, source.made_from)
    height, width = latents_hw(source.made_from.fit.bucket_px)
    ending = f"_{height}x{width}" if "latents" in kept else ""
    arrays = {"latents": np.asarray(latents_CHW, dtype=np.float32)}
    if flipped_CHW is not None:
        arrays["latents_flipped"] = np.asarray(flipped_CHW, dtype=np.float32)
    if source.mask_HW is not None:
        arrays["alpha_mask"] = np.asarray(source.mask_HW, dtype=np.float32)
    arrays |= {name: np.array(value) for name, value in facts_of(source.made_from).items()}
    everything: dict[str, Any] = kept | {name + ending: array for name, array in arrays.items()}
    with replacing(path) as beside:
        np.savez(beside, **everything)


def _other_sizes(path: Path, made_from: MadeFrom) -> "dict[str, np.ndarray]":
    """The arrays of a file that stay: those of other sizes, save where they say that the picture was another one."""
    try:
        arrays = read_arrays(path) if path.is_file() else {}
    except BrokenLatents:
        return {}
    own = latents_hw(made_from.fit.bucket_px)
    endings = {_ending(name) for name in arrays}

    def stays(ending: str) -> bool:
        latents, told = arrays.get("latents" + ending), arrays.get("content_hash" + ending)
        fits = told is None or str(told) == made_from.content_hash
        return latents is not None and latents.shape[1:] != own and fits

    staying = {ending for ending in endings if stays(ending)}
    return {name: array for name, array in arrays.items() if _ending(name) in staying}


def _ending(name: str) -> str:
    found = _ENDING.fullmatch(name)
    return (found["ending"] or "") if found else ""
