"""The example project's photographs: free pictures that come with scikit-image, cut to many sizes and formats."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sd_scripts.library.io.atomic import replacing, write_text

if TYPE_CHECKING:
    from PIL.Image import Image

CC0 = "CC0"
PUBLIC = "public domain"


@dataclass(frozen=True)
class Picture:
    """One file: cut (left, top, right, bottom) out of a picture of scikit-image, then scaled to `size_px`."""

    name: str
    source: str
    box: tuple[int, int, int, int]
    size_px: tuple[int, int]
    credit: str
    change: "Callable[[Image], Image] | None" = None
    save: dict[str, Any] = field(default_factory=dict)


def _cmyk(image: "Image") -> "Image":
    return image.convert("CMYK")


def _palette(image: "Image") -> "Image":
    return image.convert("RGB").quantize(64)


def _sixteen_bit(image: "Image") -> "Image":
    import numpy as np
    from PIL import Image as images

    return images.fromarray(np.asarray(image.convert("L"), dtype=np.uint16) * 257)


# Stored on its side, as cameras do, with the EXIF mark that turns it upright again.
_TURN_RIGHT = b"Exif\0\0II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06\0\0\0\0\0\0\0"


def _turned(image: "Image") -> "Image":
    return image.rotate(90, expand=True)


PICTURES = (
    Picture("cat.jpg", "chelsea.png", (0, 0, 451, 300), (900, 600), f"Stefan van der Walt, {CC0}"),
    Picture("cat face.png", "chelsea.png", (100, 40, 330, 270), (460, 460), f"Stefan van der Walt, {CC0}"),
    Picture("coffee.jpg", "coffee.png", (0, 0, 600, 400), (1200, 800), f"Rachel Michetti, {CC0}"),
    Picture("coffee cup.webp", "coffee.png", (120, 20, 480, 400), (720, 760), f"Rachel Michetti, {CC0}"),
    Picture("astronaut.png", "astronaut.png", (0, 0, 512, 512), (512, 512), f"NASA, {PUBLIC}"),
    Picture(
        "portrait.jpg",
        "astronaut.png",
        (60, 0, 400, 512),
        (680, 1024),
        f"NASA, {PUBLIC}",
        _turned,
        {"exif": _TURN_RIGHT},
    ),
    Picture("rocket.jpg", "rocket.jpg", (0, 0, 640, 427), (960, 640), f"SpaceX, {PUBLIC}"),
    Picture("lift-off.JPEG", "rocket.jpg", (230, 0, 430, 427), (400, 854), f"SpaceX, {PUBLIC}", _cmyk),
    Picture("galaxies.avif", "hubble_deep_field.jpg", (0, 0, 1000, 872), (1000, 872), f"NASA, {PUBLIC}"),
    Picture("deep field.bmp", "hubble_deep_field.jpg", (0, 200, 1000, 640), (1000, 440), f"NASA, {PUBLIC}"),
    Picture("bricks.png", "brick.png", (0, 0, 512, 512), (512, 512), f"CC0 Textures, {CC0}", _palette),
    Picture("cameraman.png", "camera.png", (0, 0, 512, 512), (512, 512), f"Lav Varshney, {CC0}", _sixteen_bit),
    Picture("clock.webp", "clock_motion.png", (0, 0, 400, 300), (400, 300), f"Stefan van der Walt, {PUBLIC}"),
    Picture("grass.jpg", "grass.png", (0, 0, 512, 300), (1024, 600), f"LinoLafett, {CC0}"),
    Picture("gravel.png", "gravel.png", (0, 0, 300, 512), (600, 1024), f"CC0 Textures, {CC0}"),
    Picture("馬.png", "horse.png", (0, 0, 400, 328), (400, 328), f"Andreas Preuss, {CC0}"),
)


def write_pictures(folder: Path) -> list[Path]:
    """Writes every picture into `folder`, and beside the folder who made them and under which licence."""
    import skimage
    from PIL import Image

    sources = Path(skimage.__file__).parent / "data"
    written = []
    for picture in PICTURES:
        with Image.open(sources / picture.source) as source:
            image = source.crop(picture.box).resize(picture.size_px, Image.Resampling.LANCZOS)
        if picture.change:
            image = picture.change(image)
        with replacing(folder / picture.name) as beside:
            image.save(beside, **picture.save)
        written.append(folder / picture.name)
    lines = [f"{p.name}: from {p.source} of scikit-image; {p.credit}; cut and scaled" for p in PICTURES]
    write_text(folder.parent / "LICENCES.txt", "\n".join(lines) + "\n")
    return written
