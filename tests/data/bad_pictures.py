"""Pictures that programs stumble over, for the tests of every stage that reads pictures."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

# A square of four colours: enough to see which way up a picture is.
RED, GREEN, BLUE, GREY = (220, 20, 20), (20, 200, 20), (20, 20, 220), (128, 128, 128)


def quarters(width_px: int = 96, height_px: int = 64) -> Image.Image:
    """RGB: red and green above, blue and grey below."""
    image = Image.new("RGB", (width_px, height_px), GREY)
    image.paste(RED, (0, 0, width_px // 2, height_px // 2))
    image.paste(GREEN, (width_px // 2, 0, width_px, height_px // 2))
    image.paste(BLUE, (0, height_px // 2, width_px // 2, height_px))
    return image


def _encoded(image: Image.Image, kind: str, **options: object) -> bytes:
    data = io.BytesIO()
    image.save(data, kind, **options)
    return data.getvalue()


def _noise(width_px: int, height_px: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height_px, width_px, 3), dtype=np.uint8))


def _turned_by_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    # Stored lying on its side: seen, it is 64 wide and 96 high, with red at the top right.
    return _encoded(quarters(), "JPEG", exif=exif, quality=95)


def _grey_16_bit() -> bytes:
    ramp = np.linspace(0, 65535, 96 * 64).reshape(64, 96).astype(np.uint16)
    return _encoded(Image.fromarray(ramp), "PNG")


def _palette_with_transparency() -> bytes:
    image = quarters().quantize(8)
    return _encoded(image, "PNG", transparency=image.getpixel((0, 0)))


def _half_transparent() -> bytes:
    image = quarters().convert("RGBA")
    image.putalpha(Image.linear_gradient("L").resize(image.size))
    return _encoded(image, "PNG")


def _animated() -> bytes:
    frames = [quarters(), Image.new("RGB", (96, 64)), Image.new("RGB", (96, 64), (255, 255, 255))]
    return _encoded(frames[0], "WEBP", save_all=True, append_images=frames[1:], duration=100, lossless=True)


BROKEN: dict[str, Callable[[], bytes]] = {
    "truncated.jpg": lambda: _encoded(_noise(96, 64), "JPEG")[:2000],
    "truncated.png": lambda: _encoded(_noise(96, 64), "PNG")[:9000],
    "truncated.webp": lambda: _encoded(_noise(96, 64), "WEBP", lossless=True)[:4000],
    "truncated.jxl": lambda: b"\xff\x0a" + bytes(range(60)),
    "text.png": lambda: b"This is not a picture.\n",
    "empty.jpg": lambda: b"",
}
"""File name -> content, of which no picture can be read."""

ODD: dict[str, Callable[[], bytes]] = {
    "cmyk.jpg": lambda: _encoded(quarters().convert("CMYK"), "JPEG", quality=95),
    "sixteen_bit.png": _grey_16_bit,
    "palette.png": _palette_with_transparency,
    "half_transparent.png": _half_transparent,
    "animated.webp": _animated,
    "one_pixel.png": lambda: _encoded(Image.new("RGB", (1, 1), RED), "PNG"),
    "strip.png": lambda: _encoded(quarters(20_000, 2), "PNG"),
    "tower.png": lambda: _encoded(quarters(2, 20_000), "PNG"),
    "turned.jpg": _turned_by_exif,
    "wrong_suffix.png": lambda: _encoded(quarters(), "JPEG"),
    "UPPER.JPEG": lambda: _encoded(quarters(), "JPEG"),
    "modern.avif": lambda: _encoded(quarters(), "AVIF"),
    "bitmap.bmp": lambda: _encoded(quarters(), "BMP"),
}
"""File name -> content, which is a picture all the same."""

NAMES = (
    "with spaces.png",
    'it\'s "quoted".png',
    "$(touch x) `y`.png",
    "😀 emoji.png",
    "猫の写真.png",
    "dots.in.name.png",
)
"""Names that a careless program passes to a shell, or cuts short."""


def write_pictures(folder: Path, contents: dict[str, Callable[[], bytes]]) -> list[Path]:
    """Writes such files into a folder; gives their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content())
    return [folder / name for name in contents]


def write_named(folder: Path, names: tuple[str, ...] = NAMES) -> list[Path]:
    """Writes ordinary pictures with such names."""
    return write_pictures(folder, dict.fromkeys(names, lambda: _encoded(quarters(), "PNG")))
