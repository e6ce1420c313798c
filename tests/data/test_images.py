"""Reading pictures as they are meant to be seen, and saying why one cannot be read."""

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.data.images import (
    PictureFile,
    UnreadableImage,
    find_images,
    image_size,
    open_image,
    open_image_with_alpha,
)
from tests.data.bad_pictures import BLUE, BROKEN, GREEN, GREY, NAMES, ODD, RED, quarters, write_named, write_pictures


@pytest.fixture
def odd(tmp_path: Path) -> Path:
    write_pictures(tmp_path, ODD)
    return tmp_path


def near(image: Image.Image, place: tuple[int, int], colour: tuple[int, int, int], tolerance: int = 12) -> bool:
    return all(abs(a - b) <= tolerance for a, b in zip(image.getpixel(place), colour, strict=True))


@pytest.mark.parametrize("name", sorted(ODD))
def test_odd_pictures_become_rgb_of_the_size_in_their_header(odd: Path, name: str) -> None:
    image = open_image(odd / name)
    assert image.mode == "RGB"
    assert image_size(odd / name) == image.size


@pytest.mark.parametrize(
    "name", ["cmyk.jpg", "wrong_suffix.png", "modern.avif", "newest.jxl", "bitmap.bmp", "animated.webp"]
)
def test_colours_are_right(odd: Path, name: str) -> None:
    image = open_image(odd / name)
    for place, colour in (((10, 10), RED), ((80, 10), GREEN), ((10, 50), BLUE), ((80, 50), GREY)):
        assert near(image, place, colour, 60 if name == "cmyk.jpg" else 20)


def test_sixteen_bits_are_scaled_not_clipped(odd: Path) -> None:
    values = np.asarray(open_image(odd / "sixteen_bit.png"))[..., 0]
    assert values[0, 0] == 0 and values[-1, -1] == 255 and abs(int(values[32, 0]) - 128) <= 1


def test_exif_turns_a_picture_before_it_is_measured(odd: Path) -> None:
    image = open_image(odd / "turned.jpg")
    assert image.size == image_size(odd / "turned.jpg") == (64, 96)
    assert near(image, (54, 10), RED) and near(image, (54, 86), GREEN) and near(image, (10, 10), BLUE)


def test_a_tiff_by_another_name_is_turned_once(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    quarters().save(tmp_path / "a.jpg", "TIFF", exif=exif)
    image = open_image(tmp_path / "a.jpg")
    assert image.size == image_size(tmp_path / "a.jpg") == (64, 96) and near(image, (54, 10), RED)


def test_exif_behind_the_pixels_of_a_png_counts_as_well(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    file = tmp_path / "late.png"
    quarters().save(file, exif=exif)
    data = file.read_bytes()
    start = data.index(b"eXIf") - 4
    chunk = data[start : start + 12 + int.from_bytes(data[start : start + 4], "big")]
    file.write_bytes(data.replace(chunk, b"")[:-12] + chunk + data[-12:])
    assert open_image(file).size == image_size(file) == (64, 96)


def test_transparency_lies_on_white(odd: Path) -> None:
    assert near(open_image(odd / "palette.png"), (10, 10), (255, 255, 255))
    half = open_image(odd / "half_transparent.png")
    assert near(half, (10, 0), (255, 255, 255)) and near(half, (10, 63), BLUE)
    alpha = open_image_with_alpha(odd / "half_transparent.png").getchannel("A")
    assert alpha.getpixel((0, 0)) < 5 and alpha.getpixel((0, 63)) > 250
    assert open_image_with_alpha(odd / "cmyk.jpg").mode == "RGB"


@pytest.mark.parametrize("name", sorted(BROKEN))
def test_broken_pictures_say_why(tmp_path: Path, name: str) -> None:
    write_pictures(tmp_path, BROKEN)
    with pytest.raises(UnreadableImage) as caught:
        open_image(tmp_path / name)
    words = {"empty.jpg": "the file is empty", "text.png": "it is not a picture, or of a kind that cannot be read"}
    assert str(caught.value) == words.get(name, str(caught.value))
    assert str(caught.value).startswith(("it is", "the file"))


def test_mangled_pictures_are_read_or_refused_never_worse(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, content in ODD.items():
        whole = np.frombuffer(content(), np.uint8)
        for _ in range(12):
            mangled = whole.copy()
            mangled[rng.integers(0, min(len(mangled), 400), 4)] = rng.integers(0, 256, 4)
            (tmp_path / name).write_bytes(mangled.tobytes()[: rng.integers(20, len(mangled) + 1)])
            try:
                if np.prod(image_size(tmp_path / name)) < 1e6:
                    assert open_image(tmp_path / name).mode == "RGB"
            except UnreadableImage:
                pass


def test_a_bomb_is_refused_by_its_header(tmp_path: Path) -> None:
    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    for side, words in ((20_000, "20000 x 20000 px, more than 250,000,000"), (60_000, "more than 250,000,000 px")):
        header = chunk(b"IHDR", struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0))
        (tmp_path / "bomb.png").write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(bytes(9))))
        with pytest.raises(UnreadableImage, match=words):
            open_image(tmp_path / "bomb.png")


def test_large_photographs_are_no_bombs(tmp_path: Path) -> None:
    Image.new("1", (14_000, 13_000)).save(tmp_path / "large.png")
    assert image_size(tmp_path / "large.png") == (14_000, 13_000)


def test_names_are_only_names(tmp_path: Path) -> None:
    for path in write_named(tmp_path):
        assert open_image(path).size == (96, 64)
    assert len(list(tmp_path.iterdir())) == len(NAMES)


def test_a_link_that_leads_round_in_circles_keeps_no_other_picture_from_being_found(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    (tmp_path / "b.png").symlink_to("b.png")
    (tmp_path / "c.png").symlink_to("nowhere")
    assert find_images(tmp_path) == find_images(tmp_path, recursive=True) == [tmp_path / "a.png"]


def test_a_jpeg_may_be_decoded_smaller(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.linear_gradient("L").resize((640, 480)).convert("RGB").save(tmp_path / "large.jpg", exif=exif)
    assert open_image(tmp_path / "large.jpg", (60, 100)).size == (120, 160)
    whole, reduced = (open_image(tmp_path / "large.jpg", least) for least in (None, (160, 213)))
    assert whole.size == (480, 640) and reduced.size == (240, 320)
    apart = np.asarray(whole.reduce(2), np.float64) - np.asarray(reduced)
    assert np.abs(apart).mean() < 1.0
    # Nearer than that margin it is decoded whole, and so is every other kind of picture.
    assert open_image(tmp_path / "large.jpg", (161, 214)).size == (480, 640)
    whole.save(tmp_path / "large.png")
    assert open_image(tmp_path / "large.png", (60, 80)).size == (480, 640)
    head = PictureFile(tmp_path / "large.jpg")
    assert head.size_px == (480, 640) and head.decoded((60, 80)).size == (120, 160) and head.size_px == (480, 640)
