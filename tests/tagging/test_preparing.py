"""What the models get to see, against references that are worked out here in another way."""

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.tagging.deepdanbooru import Fitted, fitted
from sd_scripts.library.tagging.wd14 import Squared, sigmoid


def noise(width, height):
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), dtype=np.uint8)


def area_scaled(pixels_HWC, width, height):
    """Exact averages over areas, by matrices of overlaps."""

    def overlaps(old, new):
        edges = np.arange(new + 1) * old / new
        low, high = edges[:-1, None], edges[1:, None]
        shares = np.minimum(high, np.arange(old) + 1) - np.maximum(low, np.arange(old))
        return np.clip(shares, 0, None) * new / old

    rows, columns = overlaps(pixels_HWC.shape[0], height), overlaps(pixels_HWC.shape[1], width)
    return np.einsum("yh,xw,hwc->yxc", rows, columns, pixels_HWC.astype(np.float64), optimize=True)


def test_wd14_shrinks_a_white_square_by_area_and_swaps_red_and_blue(tmp_path):
    pixels = noise(897, 301)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    square = np.full((897, 897, 3), 255.0)
    square[298 : 298 + 301] = pixels
    expected_bgr = area_scaled(square, 448, 448)[:, :, ::-1]
    seen = Squared(448)(tmp_path / "a.png")
    assert seen.shape == (448, 448, 3)
    assert np.abs(seen - expected_bgr).max() <= 0.6


def test_wd14_enlarges_by_lanczos(tmp_path):
    pixels = noise(100, 61)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    square = np.pad(pixels, ((19, 20), (0, 0), (0, 0)), constant_values=255)
    expected = np.asarray(Image.fromarray(square).resize((448, 448), Image.Resampling.LANCZOS))[:, :, ::-1]
    assert np.array_equal(Squared(448)(tmp_path / "a.png"), expected)


def test_wd14_leaves_a_picture_of_its_size_alone(tmp_path):
    pixels = noise(448, 448)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    assert np.array_equal(Squared(448)(tmp_path / "a.png"), pixels[:, :, ::-1])


@pytest.mark.parametrize(("name", "fast"), [("strip.png", False), ("strip.jpg", True)])
def test_a_long_strip_costs_no_memory(tmp_path, name, fast):
    import tracemalloc

    Image.new("RGB", (30_000, 8), (10, 20, 30)).save(tmp_path / name, quality=100)
    tracemalloc.start()
    seen = Squared(448, fast)(tmp_path / name)
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[223, 200].tolist() == [30, 20, 10]


@pytest.mark.parametrize(("width", "height"), [(150, 97), (97, 150), (33, 20), (64, 64), (131, 64), (20, 33)])
def test_deepdanbooru_as_its_own_tool(width, height):
    """That is: area to the size that fits, scikit-image's warp about the centre, edges repeated, divided by 255."""
    from skimage.transform import AffineTransform, warp

    pixels = noise(width, height)
    scale = 64 / max(width, height)
    scaled = area_scaled(pixels, round(scale * width), round(scale * height))
    move = AffineTransform(translation=(32 - scaled.shape[1] / 2, 32 - scaled.shape[0] / 2))
    expected = warp(scaled, move.inverse, output_shape=(64, 64), order=1, mode="edge") / 255
    seen = fitted(Image.fromarray(pixels), 64, 64)
    assert seen.dtype == np.float32
    assert np.abs(seen - expected).max() < 2e-3


def test_deepdanbooru_takes_a_strip(tmp_path):
    Image.new("RGB", (20_000, 2), (255, 0, 0)).save(tmp_path / "strip.png")
    assert np.allclose(Fitted(64, 32)(tmp_path / "strip.png"), [1.0, 0.0, 0.0])


def test_blip_sees_a_square_normalised_as_clip_does(models, tmp_path):
    from sd_scripts.library.tagging.blip import load_blip
    from sd_scripts.library.tagging.model_pixels import pixels_for

    pixels = noise(90, 60)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    square = np.asarray(Image.fromarray(pixels).resize((32, 32), Image.Resampling.BICUBIC)) / 255
    mean, deviation = [0.48145466, 0.4578275, 0.40821073], [0.26862954, 0.26130258, 0.27577711]
    expected = ((square - mean) / deviation).transpose(2, 0, 1)
    seen = pixels_for(load_blip(models("blip")).processor)(tmp_path / "a.png")
    assert np.abs(seen - expected).max() < 1e-5


def test_the_centre_of_a_strip_is_what_git_would_cut_out():
    from sd_scripts.library.tagging.model_pixels import centre_of_strip

    strip = Image.fromarray(noise(400, 4))
    assert centre_of_strip(strip).size == (64, 4)
    assert np.array_equal(np.asarray(centre_of_strip(strip)), np.asarray(strip)[:, 168:232])
    assert centre_of_strip(strip.rotate(90, expand=True)).size == (4, 64)
    assert centre_of_strip(Image.new("RGB", (32, 2))).size == (32, 2)


def test_sigmoid_by_hand():
    assert np.allclose(sigmoid(np.array([0.0, np.log(3.0), -1000.0, 1000.0])), [0.5, 0.75, 0.0, 1.0])
