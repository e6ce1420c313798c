"""Copies of pictures, scaled down to one or more sizes. Needs no torch."""

import math
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sd_scripts.library import events
from sd_scripts.library.data.buckets import Fit, Size
from sd_scripts.library.data.copies import Companions, check_target, copy_file
from sd_scripts.library.data.images import UnreadableImage, find_images
from sd_scripts.library.data.pixels import read_pixels, write_fitted
from sd_scripts.library.data.read_ahead import read_ahead
from sd_scripts.library.data.resize import Interpolation
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted
from sd_scripts.options.picture_tools import ResizeImagesOptions

_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")
_WAYS: dict[str | None, Interpolation] = {
    None: "area",
    "area": "area",
    "box": "area",
    "cubic": "bicubic",
    "lanczos4": "lanczos",
    "nearest": "nearest",
    "linear": "bilinear",
}


class _Wanted(NamedTuple):
    """What is made of each picture. `sizes`: {as it was written: (width, height)}; `copied`: files of its name."""

    folder: Path
    sizes: dict[str, Size]
    step_px: int
    way: Interpolation
    ending: str
    copied: dict[Path, list[Path]]


class _Made(NamedTuple):
    """Files that were written, and those that were there already."""

    new: int
    kept: int


def resize_images(options: ResizeImagesOptions, report: Report) -> None:
    """The whole work. Errors: BadOption, BadFile; NothingUsable, when no picture can be read."""
    files, size = options.files, options.size
    source, target = Path(files.src_img_folder).expanduser(), Path(files.dst_img_folder).expanduser()
    sizes = _sizes(size.max_resolution)
    images = find_images(source, option="src_img_folder")
    check_target(target, "dst_img_folder", options.target.add_to_existing, [source])
    way, ending = _WAYS[size.interpolation], ".png" if files.save_as_png else ".jpg"
    taken, beside = _without_twins(images, report), Companions()
    copied = {image: beside.of(image) for image in taken} if files.copy_associated_files else {}
    wanted = _Wanted(target, sizes, size.divisible_by, way, ending, copied)
    report.phase("resize", f"Scaling {counted(len(taken), 'picture')} to {', '.join(sizes)}", len(taken))
    made = [one for one in _make_all(taken, wanted, report) if one]
    new, kept = sum(one.new for one in made), sum(one.kept for one in made)
    there = f", {kept:,} were there already" if kept else ""
    text = f"{counted(new, 'picture')} written to {target}{there}."
    report.summary(text, written=new, kept=kept)
    if len(made) + report.failed < len(images):
        report.emit(events.Stopped(sentence=f"Stopped as asked: {text}"))
    elif not made:
        raise NothingUsable(f"None of the {len(images):,} pictures could be scaled; the reasons stand above.")


def shrunk(size_px: Size, most_px: int, step_px: int) -> Fit:
    """How a picture comes to at most so many px and to sides in whole steps. Errors: UnreadableImage, if too small."""
    scale = min(1.0, math.sqrt(most_px / (size_px[0] * size_px[1])))
    resized_px = max(1, int(size_px[0] * scale)), max(1, int(size_px[1] * scale))
    cut_px = resized_px[0] // step_px * step_px, resized_px[1] // step_px * step_px
    if not all(cut_px):
        raise UnreadableImage(f"a side would be shorter than {step_px} px, of which --divisible_by wants a multiple")
    return Fit(resized_px, cut_px)


def _sizes(text: str) -> dict[str, Size]:
    """{as written: (width, height)} of sizes such as 512x512,256x256. Errors: BadOption."""
    sizes: dict[str, Size] = {}
    for part in text.replace(" ", "").split(","):
        match = _SIZE.fullmatch(part)
        if match is None or not int(match[1]) * int(match[2]):
            sentence = f'--max_resolution "{text}": write sizes such as 512x512, with commas between.'
            raise BadOption("max_resolution", sentence)
        sizes[part] = int(match[1]), int(match[2])
    return sizes


def _without_twins(images: Sequence[Path], report: Report) -> list[Path]:
    """Pictures of one name, such as a.png and a.jpg, would fall on one file: the first one is taken."""
    firsts: dict[str, Path] = {}
    for image in images:
        first = firsts.setdefault(image.stem, image)
        if first != image:
            report.failed_item(image, f"its copies would have the names of those of {first.name}")
    return list(firsts.values())


def _make_all(images: list[Path], wanted: _Wanted, report: Report) -> list[_Made | None]:
    made: list[_Made | None] = []
    for done, one in enumerate(read_ahead(images, partial(_make, wanted)), 1):
        made.append(one.result or _make_here(wanted, one.item, report))
        report.progress(done, len(images))
        if report.stop_asked():
            break
    return made


def _make_here(wanted: _Wanted, image: Path, report: Report) -> _Made | None:
    """Once more what a reader could not make: where the place could not be written to, it is waited for."""
    try:
        return patiently(report, wanted.folder, partial(_make, wanted, image))
    except (UnreadableImage, BadFile) as error:
        report.failed_item(image, str(error))
        return None


def _make(wanted: _Wanted, image: Path) -> _Made:
    """All copies of a picture. Errors: UnreadableImage, BadFile."""
    pixels_HWC = read_pixels(image, keep_alpha=wanted.ending == ".png")
    size_px = pixels_HWC.shape[1], pixels_HWC.shape[0]
    fits = {name: shrunk(size_px, most[0] * most[1], wanted.step_px) for name, most in wanted.sizes.items()}
    new = 0
    for name, fit in fits.items():
        stem = f"{image.stem}+{name}"
        for path in wanted.copied.get(image, []):
            if not (beside := wanted.folder / (stem + path.suffix)).exists():
                copy_file(path, beside)
        target = wanted.folder / (stem + wanted.ending)
        if not target.exists():
            write_fitted(pixels_HWC, fit, target, wanted.way)
            new += 1
    return _Made(new, len(fits) - new)
