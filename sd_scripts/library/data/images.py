"""Pictures: finding them in folders, and reading them as they are meant to be seen. Needs no torch."""

import contextlib
import errno
import functools
import io
import math
import os
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sd_scripts.library.data.jpeg_head import HEAD_BYTES, plain_jpeg_size
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.reach import OUTSIDE, is_out_of_reach

if TYPE_CHECKING:
    from PIL import Image

Size = tuple[int, int]
"""(width, height) in px."""

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".webp", ".bmp", ".avif", ".jxl")

# A decompression bomb is refused above this: decoding takes 7 bytes a pixel. Telephones have up to 200 million.
MAX_PIXELS = 250_000_000

# The largest of them, uncompressed; more is no picture, and nobody waits until it is read.
LARGEST_BYTES = 4_000_000_000


class UnreadableImage(Exception):
    """A file that cannot be read as a picture; the text says why, in words for the list of what was left out."""


def find_images(folder: str | Path, recursive: bool = False, option: str = "train_data_dir") -> list[Path]:
    """The pictures in a folder (and in those below it), sorted by path.

    Errors: BadOption, naming `option`, when there is no such folder or there are no pictures in it.
    """
    return [Path(place) for place in image_places(folder, recursive, option)]


def image_places(folder: str | Path, recursive: bool = False, option: str = "train_data_dir") -> list[str]:
    """The same as texts: where there are very many, and for each a Path would take longer than the work itself."""
    if not recursive:
        beginning = str(Path(folder, "x"))[:-1]
        return [beginning + name for name in image_names(folder, option).pictures]
    root = _checked(folder, option)
    with _said(root):
        found = list(_below(root))
        if not found:
            raise BadOption(option, _no_pictures(root, recursive, option))
    return found


class Names(NamedTuple):
    """What one look at a folder found: its pictures, sorted, and whether a file has the ending that was asked."""

    pictures: list[str]
    others: bool


def image_names(folder: str | Path, option: str = "train_data_dir", others: str = "") -> Names:
    """The names of the pictures in a folder, and whether there is a file that ends in `others`.

    A folder of a million files takes long to look at: what is to be known of it is found out at once.

    Errors: BadOption, naming `option`, when there is no such folder or there are no pictures in it.
    """
    root = _checked(folder, option)
    with _said(root):
        found = _names_in(root, others)
        if not found.pictures:
            raise BadOption(option, _no_pictures(root, False, option))
    return found


def _names_in(folder: Path, others: str) -> Names:
    """One look tells what is a file; names are sorted faster than paths."""
    names, any_others = [], False
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            # Asked without a call: most names of a large folder are none of a picture.
            if name.lower().endswith(IMAGE_SUFFIXES):
                # Hidden ones are left aside, as in `_has_image_name`.
                if name[0] != "." and _is_file(entry):
                    names.append(name)
            elif others and name.endswith(others):
                any_others = True
    names.sort()
    return Names(names, any_others)


def _checked(folder: str | Path, option: str) -> Path:
    root = Path(folder)
    if not root.is_dir():
        what = "a file, not a folder" if root.exists() else "no folder"
        raise BadOption(option, f"{option} {root}: there is {what} of that name. Choose a folder of pictures.")
    return root


@contextlib.contextmanager
def _said(root: Path) -> Iterator[None]:
    """What the system says of a folder in words of ours."""
    try:
        yield
    except OSError as error:
        raise BadFile(f"{root} cannot be read: {error.strerror}.") from error


def _below(folder: Path) -> Iterator[str]:
    """The pictures of a folder and of those below it, but for hidden ones: these hold thumbnails and trash."""
    with os.scandir(folder) as entries:
        visible = sorted((entry for entry in entries if not entry.name.startswith(".")), key=lambda entry: entry.name)
    for entry in visible:
        # Links to folders may lead round in circles.
        if entry.is_dir(follow_symlinks=False):
            yield from _below(folder / entry.name)
        elif _has_image_name(entry.name) and _is_file(entry):
            yield str(folder / entry.name)


def _is_file(entry: os.DirEntry[str]) -> bool:
    """A link that leads nowhere, or round in circles, is none."""
    try:
        return entry.is_file()
    except OSError as error:
        if error.errno != errno.ELOOP:
            raise
        return False


def _has_image_name(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


def _no_pictures(root: Path, recursive: bool, option: str) -> str:
    below = 0 if recursive else sum(1 for _ in _below(root))
    if below:
        return f"{option} {root}: no pictures here, but {below:,} in folders below. Add --recursive to take them."
    return f"{option} {root}: no pictures here. Pictures end in {', '.join(IMAGE_SUFFIXES)}."


def open_image(path: str | Path, least_px: Size | None = None) -> "Image.Image":
    """A picture as RGB, upright by its EXIF orientation, transparency laid on white; an animation's first frame.

    CMYK, 16-bit and palette pictures become RGB. `least_px`: it is to be scaled down to that (width, height), so a JPEG
    may be decoded at a reduced scale (`PictureFile.decoded`). Errors: UnreadableImage.
    """
    return PictureFile(path).decoded(least_px, on_white)


def open_image_with_alpha(path: str | Path) -> "Image.Image":
    """A picture upright, as RGBA where it can be transparent, else as RGB. Errors: UnreadableImage."""
    return PictureFile(path).decoded()


class PictureFile:
    """A picture of which only the head is read at first. `data`: what is in the file, where that was read already.

    Errors: UnreadableImage.
    """

    def __init__(self, path: str | Path, data: bytes | None = None) -> None:
        self.path = path
        self._image = _opened(path, data)
        self._orientation = _orientation(self._image, path, data)
        self.size_px = _turned(self._image.size, self._orientation)

    def reduction(self, decoded: "Image.Image") -> "Reduction":
        """How much smaller than the picture a JPEG of it is that was decoded at a reduced scale."""
        times = 2 ** round(math.log2(max(self.size_px) / max(decoded.size)))
        before_x, before_y = (
            decoded_px * times - seen_px if self._orientation in turned else 0
            for decoded_px, seen_px, turned in zip(decoded.size, self.size_px, _FROM_FAR, strict=True)
        )
        return Reduction(times, (before_x, before_y))

    def decoded(
        self, least_px: Size | None = None, convert: "Callable[[Image.Image], Image.Image] | None" = None
    ) -> "Image.Image":
        """The picture, once: upright, as RGBA where it can be transparent, else as RGB; or as `convert` makes it.

        `least_px`: (width, height) to which it will be scaled down. A JPEG is then decoded at 1/2, 1/4 or 1/8, which
        is many times faster, as long as its sides stay REDUCED_MARGIN times as long. Errors: UnreadableImage.
        """
        with self._image as image:
            try:
                if least_px:
                    _reduce(image, least_px, turned=self.size_px != image.size)
                image.load()
                return (convert or _eight_bit_colours)(_upright(image))
            # Decoders raise errors of every kind over broken data, RuntimeError and struct.error among them.
            except Exception as error:
                raise UnreadableImage(_reason(self.path, error)) from error


@dataclass(frozen=True)
class Reduction:
    """How a JPEG at a reduced scale lies in its picture: each pixel stands for `times` by `times`.

    `before_px`: by how much (x, y) the first begins before the picture does. Sides are rounded up where the file ends,
    which may be seen on the left or above.
    """

    times: int
    before_px: Size


REDUCED_MARGIN = 1.5
"""Nearer to the size that is wanted, decoding at a reduced scale shows: there is nothing left to average."""


def _reduce(image: "Image.Image", least_px: Size, turned: bool) -> None:
    """Lets a JPEG be decoded smaller; pictures of other kinds stay as they are."""
    width, height = (math.ceil(side * REDUCED_MARGIN) for side in least_px)
    image.draft(None, (height, width) if turned else (width, height))


def small_image(path: str | Path, side_px: int) -> "Image.Image":
    """A picture as `open_image` gives it, scaled down so that no side is longer than `side_px`; never enlarged.

    A JPEG is decoded at the smallest scale that suffices, which is many times faster. Errors: UnreadableImage.
    """
    with _opened(path) as image:
        try:
            image.draft(None, (side_px, side_px))
            image.load()
            small = on_white(_upright(image))
            small.thumbnail((side_px, side_px), reducing_gap=2.0)
            return small
        except Exception as error:
            raise UnreadableImage(_reason(path, error)) from error


def without_alpha(image: "Image.Image") -> "Image.Image":
    """A picture as RGB with the colours that it has, those of transparent places too."""
    image = _eight_bit_colours(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def image_size(path: str | Path) -> Size:
    """(width, height) in px as the picture is seen, without decoding it. Errors: UnreadableImage."""
    plain_px = _plain_size(os.fspath(path))
    if plain_px:
        return plain_px
    with _opened(path) as image:
        return _turned(image.size, _orientation(image, path))


def _plain_size(place: str) -> Size | None:
    """That of a plain JPEG, for which pillow takes many times as long; None where pillow is to be asked."""
    if not place.lower().endswith((".jpg", ".jpeg")) or is_out_of_reach(place):
        return None
    try:
        with open(place, "rb", buffering=0) as file:
            size_px = plain_jpeg_size(file.read(HEAD_BYTES))
            usual = os.fstat(file.fileno()).st_size <= LARGEST_BYTES
    except (OSError, ValueError):
        return None
    return size_px if usual and size_px and size_px[0] * size_px[1] <= MAX_PIXELS else None


def _orientation(image: "Image.Image", path: str | Path, data: bytes | None = None) -> int:
    """By EXIF: how a picture is to be turned once it is decoded; 1 where it is not."""
    from PIL import Image

    # pillow turns these by itself.
    if image.format == "TIFF":
        return 1
    try:
        if image.format == "PNG" and "exif" not in image.info:
            with io.BytesIO(data) if data else Path(path).open("rb", buffering=0) as file:
                if late := _late_exif(file):
                    image.info["exif"] = late
        # Not image.getexif(): that of a PNG would decode all of it.
        return int(Image.Image.getexif(image).get(ORIENTATION_TAG, 1))
    except Exception:
        return 1


def _turned(size_px: Size, orientation: int) -> Size:
    return (size_px[1], size_px[0]) if orientation in TURNED else size_px


def _late_exif(png: "io.RawIOBase | io.BytesIO") -> bytes | None:
    """EXIF data that stand behind the pixels of a PNG, as some programs write them; the pixels are stepped over."""
    png.seek(8)
    while len(head := png.read(8) or b"") == 8:
        length, kind = int.from_bytes(head[:4], "big"), head[4:]
        if kind == b"eXIf":
            return png.read(length)
        png.seek(length + 4, 1)
    return None


ORIENTATION_TAG = 0x0112
# The orientations that exchange width and height.
TURNED = (5, 6, 7, 8)
# Those that turn the far side of the file to the left, and to the top.
_FROM_FAR = ((2, 3, 6, 7), (3, 4, 7, 8))


def _upright(image: "Image.Image") -> "Image.Image":
    """The picture turned by its EXIF orientation; as it is, where its EXIF data are broken."""
    from PIL import ImageOps

    try:
        ImageOps.exif_transpose(image, in_place=True)
    except Exception:
        return image
    return image


def check_readable(path: str | Path) -> None:
    """A picture or its text may be read, and in finite time. Errors: UnreadableImage; OSError, where there is none."""
    if is_out_of_reach(path):
        raise UnreadableImage(OUTSIDE)
    if os.stat(path).st_size > LARGEST_BYTES:
        raise UnreadableImage(
            f"{Path(path).name} has more than {LARGEST_BYTES / 1e9:.0f} GB, as no picture or text has"
        )


def _opened(path: str | Path, data: bytes | None = None) -> "Image.Image":
    from PIL import Image

    _register_decoders()
    try:
        with warnings.catch_warnings():
            # Broken EXIF data and the like: what matters is whether the picture can be decoded.
            warnings.simplefilter("ignore")
            check_readable(path)
            image = Image.open(path if data is None else io.BytesIO(data))
    except UnreadableImage:
        raise
    except Exception as error:
        raise UnreadableImage(_reason(path, error)) from error
    if image.width * image.height > MAX_PIXELS:
        image.close()
        raise UnreadableImage(f"it has {image.width} x {image.height} px, more than {MAX_PIXELS:,} px in all")
    return image


def ready_decoders() -> None:
    """Imports what most pictures are read with, a fifth of a second, before the readers are there to wait for it."""
    from PIL import JpegImagePlugin, PngImagePlugin, WebPImagePlugin  # noqa: F401

    _register_decoders()


@functools.cache
def _register_decoders() -> None:
    """pillow reads AVIF by itself; JPEG XL comes from a plugin that registers when it is imported."""
    from PIL import Image

    # Else pillow would refuse at 179 million px, which photographs reach.
    Image.MAX_IMAGE_PIXELS = MAX_PIXELS
    with contextlib.suppress(ImportError):
        import pillow_jxl  # noqa: F401


def _reason(path: str | Path, error: BaseException) -> str:
    from PIL import Image, UnidentifiedImageError

    file = Path(path)
    if isinstance(error, FileNotFoundError):
        return "the file is not there"
    if file.is_file() and file.stat().st_size == 0:
        return "the file is empty"
    if isinstance(error, UnidentifiedImageError):
        return "it is not a picture, or of a kind that cannot be read"
    if isinstance(error, Image.DecompressionBombError):
        return f"it has more than {MAX_PIXELS:,} px"
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    return f"it is broken ({str(error).strip() or type(error).__name__})"


def on_white(image: "Image.Image") -> "Image.Image":
    """A picture as RGB, its transparency laid on white. One that is RGB already is given back."""
    from PIL import Image

    image = _eight_bit_colours(image)
    if image.mode == "RGB":
        return image
    white = Image.new("RGB", image.size, (255, 255, 255))
    white.paste(image, mask=image)
    return white


def _eight_bit_colours(image: "Image.Image") -> "Image.Image":
    """RGBA where a picture can be transparent, else RGB; in its own place where it is that."""
    image = _eight_bit(image)
    mode = "RGBA" if image.has_transparency_data else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _eight_bit(image: "Image.Image") -> "Image.Image":
    """16-bit grey scaled to 8 bits: pillow's own conversion would clip everything above 255 to white."""
    if image.mode.startswith("I;16") or image.mode in ("I", "F"):
        import numpy as np
        from PIL import Image

        values = np.asarray(image, dtype=np.float64)
        # Of a float picture the range cannot be known: 0 to 1 where it fits, else 0 to 65535.
        top = 1.0 if image.mode == "F" and values.max(initial=0.0) <= 1.0 else 65535.0
        return Image.fromarray((values / top * 255.0).clip(0, 255).round().astype(np.uint8))
    return image
