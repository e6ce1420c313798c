"""Bringing pictures into their buckets."""

import numpy as np

from sd_scripts.library.data.buckets import Fit, cover
from sd_scripts.library.data.resize import STRIP_FACTOR, fill_bucket


def across(width_px: int, height_px: int) -> np.ndarray:
    """Brightness grows from left to right."""
    row = np.linspace(0, 255, width_px).round().astype(np.uint8)
    return np.ascontiguousarray(np.broadcast_to(row[None, :, None], (height_px, width_px, 3)))


def test_shrinking_averages_areas() -> None:
    image = np.zeros((4, 4, 3), np.uint8)
    image[:2, :2] = [[[0, 10, 20], [40, 50, 60]], [[80, 90, 100], [120, 130, 140]]]
    small = fill_bucket(image, Fit((2, 2), (2, 2)))
    assert small.tolist() == [[[60, 70, 80], [0, 0, 0]], [[0, 0, 0], [0, 0, 0]]]


def test_a_picture_of_the_buckets_size_stays_as_it_is() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 128, 3), dtype=np.uint8)
    assert np.array_equal(fill_bucket(image, cover((128, 64), (128, 64))), image)


def test_enlarging_is_smooth_and_keeps_flat_colours() -> None:
    flat = np.full((10, 10, 3), (200, 100, 50), np.uint8)
    assert (fill_bucket(flat, cover((10, 10), (64, 64))) == (200, 100, 50)).all()
    steps = np.diff(fill_bucket(across(32, 32), cover((32, 32), (128, 128)))[64, 8:-8, 0].astype(int))
    assert steps.min() >= 0 and steps.max() <= 4


def test_the_crop_made_is_the_crop_recorded() -> None:
    image = np.random.default_rng(0).integers(0, 256, (64, 101, 3), dtype=np.uint8)
    fit = Fit((101, 64), (64, 64))
    left, top, right, bottom = fit.crop_ltrb
    assert (left, top, right, bottom) == (18, 0, 82, 64)
    assert np.array_equal(fill_bucket(image, fit), image[top:bottom, left:right])


def test_a_mask_goes_the_same_way() -> None:
    image = across(300, 100)
    fit = cover((300, 100), (128, 64))
    assert np.array_equal(fill_bucket(image[:, :, 0], fit), fill_bucket(image, fit)[:, :, 0])


def test_a_strip_is_cut_before_it_is_scaled() -> None:
    image, fit = across(2000, 8), cover((2000, 8), (64, 64))
    assert fit.resized_px[0] * fit.resized_px[1] > STRIP_FACTOR * 64 * 64
    import cv2

    left, top, right, bottom = fit.crop_ltrb
    whole = cv2.resize(image, fit.resized_px, interpolation=cv2.INTER_LANCZOS4)[top:bottom, left:right]
    assert np.abs(fill_bucket(image, fit).astype(int) - whole).max() <= 1


def test_a_strip_that_shrinks_is_cut_too() -> None:
    image = across(20_000, 100)
    fit = cover((20_000, 100), (64, 64))
    cut = fill_bucket(image, fit)
    assert cut.shape == (64, 64, 3)
    assert cut.min() >= 126 and cut.max() <= 129


def test_a_strip_costs_no_memory() -> None:
    # Scaled whole, these would be pictures of 63 GB.
    for width, height in ((20_000, 1), (1, 20_000)):
        image = np.full((height, width, 3), 77, np.uint8)
        assert (fill_bucket(image, cover((width, height), (1024, 1024))) == 77).all()
