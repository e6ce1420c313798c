"""The size of a JPEG by its first bytes: what pillow says, or nothing."""

import io
import random
from pathlib import Path

import pytest
from PIL import Image, ImageCms

from sd_scripts.library.data import images
from sd_scripts.library.data.images import UnreadableImage, image_size
from sd_scripts.library.data.jpeg_head import HEAD_BYTES, plain_jpeg_size

PLAIN = {
    "colours": ("RGB", {}),
    "grey": ("L", {}),
    "four inks": ("CMYK", {}),
    "progressive": ("RGB", {"progressive": True}),
    "restarts": ("RGB", {"restart_marker_rows": 1}),
    "a comment": ("RGB", {"comment": b"by hand"}),
    "a colour profile": ("RGB", {"icc_profile": ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()}),
}


def _packed(mode: str = "RGB", size_px: tuple[int, int] = (24, 17), **how: object) -> bytes:
    file = io.BytesIO()
    Image.new(mode, size_px, 100 if mode == "L" else None).save(file, "JPEG", **how)
    return file.getvalue()


def _turned() -> Image.Exif:
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


@pytest.mark.parametrize("kind", PLAIN)
def test_a_plain_one_is_not_opened(kind: str) -> None:
    mode, how = PLAIN[kind]
    assert plain_jpeg_size(_packed(mode, **how)[:HEAD_BYTES]) == (24, 17)


@pytest.mark.parametrize(
    "data",
    [
        _packed(exif=_turned()),
        _packed(xmp=b'<x tiff:Orientation="6"/>'),
        _packed(comment=bytes(HEAD_BYTES)),
        b"",
        b"no picture",
        _packed()[:-2].replace(b"\xff\xda", b"\xff\xd9"),
    ],
    ids=["turned", "with XMP", "long", "empty", "other", "without pixels"],
)
def test_of_others_nothing_is_said(data: bytes) -> None:
    assert plain_jpeg_size(data[:HEAD_BYTES]) is None


def test_turned_pictures_are_seen_upright(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(_packed(exif=_turned()))
    assert image_size(tmp_path / "a.jpg") == (17, 24)


def test_damage_is_found_as_pillow_finds_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Heads with a byte changed, or cut off: the size that pillow gives, or its reason."""
    lot = random.Random(0)
    packed = [_packed(mode, **how) for mode, how in PLAIN.values()] + [_packed(exif=_turned())]
    told = 0
    for number in range(1200):
        data = bytearray(packed[number % len(packed)])
        head = data.index(b"\xff\xda") + 14
        if number % 3:
            data[lot.randrange(head)] = lot.choice((0, 1, 2, 8, 0xC0, 0xDB, 0xE1, 0xFF, lot.randrange(256)))
        else:
            del data[lot.randrange(head) :]
        place = tmp_path / "a.jpg"
        place.write_bytes(data)
        ours = _size_or_reason(place)
        told += plain_jpeg_size(bytes(data[:HEAD_BYTES])) is not None
        with monkeypatch.context() as patch:
            patch.setattr(images, "_plain_size", lambda _: None)
            assert ours == _size_or_reason(place), bytes(data[:head])
    assert told > 300


def _size_or_reason(place: Path) -> tuple[int, int] | str:
    try:
        return image_size(place)
    except UnreadableImage as error:
        return str(error)
