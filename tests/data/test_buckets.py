"""Aspect-ratio buckets: worked examples, properties, and the sentences for what cannot be."""

import math
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library.data.buckets import (
    BucketRules,
    Fit,
    bucket_sizes,
    checked_rules,
    fit_bucket,
    fit_without_upscale,
    parse_resolution,
)
from sd_scripts.library.errors import BadOption

AREA_512 = 512 * 512
DEFAULT = bucket_sizes((512, 512), 256, 1024, 64)
sides = st.integers(1, 6000)


def test_the_buckets_of_512() -> None:
    assert len(DEFAULT) == 17
    assert sorted(DEFAULT) == DEFAULT
    assert (DEFAULT[0], DEFAULT[-1]) == ((256, 832), (1024, 256))
    assert {(512, 512), (640, 384), (576, 448), (320, 768)} < set(DEFAULT)


def test_the_square_comes_from_the_area() -> None:
    # sqrt(512 * 768) = 627: nine steps of 64.
    assert (576, 576) in bucket_sizes((512, 768), 256, 1024, 64)
    # Where the shortest side is longer than the resolution, the square alone is left.
    assert bucket_sizes((128, 128), 256, 1024, 64) == [(128, 128)]


@pytest.mark.parametrize(
    ("size", "fit"),
    [
        ((1920, 1080), Fit((683, 384), (640, 384))),
        ((640, 384), Fit((640, 384), (640, 384))),
        ((512, 512), Fit((512, 512), (512, 512))),
        ((100, 100), Fit((512, 512), (512, 512))),
        ((1080, 1920), Fit((384, 683), (384, 640))),
        ((1, 1), Fit((512, 512), (512, 512))),
    ],
)
def test_worked_examples(size: tuple[int, int], fit: Fit) -> None:
    assert fit_bucket(size, DEFAULT) == fit


def test_of_two_equally_near_buckets_the_first_wins() -> None:
    assert fit_bucket((300, 200), [(100, 100), (200, 100)]).bucket_px == (100, 100)
    assert fit_bucket((300, 200), [(128, 64), (256, 128)]).bucket_px == (128, 64)


def test_the_crop_is_from_the_centre() -> None:
    assert Fit((683, 384), (640, 384)).crop_ltrb == (21, 0, 661, 384)
    assert Fit((512, 517), (512, 512)).crop_ltrb == (0, 2, 512, 514)


@pytest.mark.parametrize(
    ("size", "fit"),
    [
        # Smaller than the area: the size stays, the bucket is what whole steps fit into.
        ((500, 300), Fit((500, 300), (448, 256))),
        ((512, 512), Fit((512, 512), (512, 512))),
        # 660.9 x 396.6 at the area: both ways give 640 x 384.
        ((1000, 600), Fit((640, 384), (640, 384))),
        # 697.7 x 375.7: by width 640 x 320 (off by 0.143), by height 576 x 320 (off by 0.057).
        ((1300, 700), Fit((594, 320), (576, 320))),
        # 375.7 x 697.7: by width 320 x 576 (off by 0.017), by height 320 x 640 (off by 0.038).
        ((700, 1300), Fit((320, 594), (320, 576))),
        # Not one step: no bucket, and none of zero width.
        ((63, 500), None),
        ((1, 1), None),
        ((20_000, 20), None),
        ((40_000, 40), None),
    ],
)
def test_without_upscale(size: tuple[int, int], fit: Fit | None) -> None:
    assert fit_without_upscale(size, AREA_512, 64) == fit


@settings(max_examples=150, deadline=None)
@given(sides, sides)
def test_the_bucket_is_covered_and_no_other_is_nearer(width: int, height: int) -> None:
    resized_px, bucket, _ = fit_bucket((width, height), DEFAULT)
    resized_width, resized_height = resized_px
    assert bucket in DEFAULT
    assert resized_width >= bucket[0] and resized_height >= bucket[1]
    assert resized_width == bucket[0] or resized_height == bucket[1]
    nearest = min(abs(w / h - width / height) for w, h in DEFAULT)
    assert (width, height) == bucket or abs(bucket[0] / bucket[1] - width / height) == nearest


@settings(max_examples=150, deadline=None)
@given(sides, sides, st.sampled_from([8, 32, 64, 128]))
def test_without_upscale_nothing_grows(width: int, height: int, step: int) -> None:
    fit = fit_without_upscale((width, height), AREA_512, step)
    if fit is None:
        ratio = width / height
        short = min(width, height, math.sqrt(AREA_512 * ratio), math.sqrt(AREA_512 / ratio))
        assert short < 2 * step
        return
    (resized_width, resized_height), bucket, _ = fit
    assert min(bucket) >= step and not bucket[0] % step and not bucket[1] % step
    assert 0 <= resized_width - bucket[0] < step and 0 <= resized_height - bucket[1] < step
    assert resized_width <= width and resized_height <= height


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 8), st.integers(8, 32), st.sampled_from([8, 32, 64]))
def test_every_bucket_keeps_the_limits(width: int, height: int, low: int, high: int, step: int) -> None:
    resolution = (width * step, height * step)
    sizes = bucket_sizes(resolution, low * step, high * step, step)
    square = math.isqrt(resolution[0] * resolution[1]) // step * step
    assert (square, square) in sizes
    for bucket_width, bucket_height in sizes:
        assert (bucket_height, bucket_width) in sizes
        assert bucket_width * bucket_height <= resolution[0] * resolution[1]
        if bucket_width != bucket_height:
            assert low * step <= min(bucket_width, bucket_height) and max(bucket_width, bucket_height) <= high * step


def test_a_million_pictures_take_seconds() -> None:
    rules = BucketRules((512, 512))
    begun = time.process_time()
    for number in range(1_000_000):
        rules.fit((500 + number % 90, 400 + number % 70))
    assert time.process_time() - begun < 5


def test_one_size_is_no_bucketing() -> None:
    rules = checked_rules(BucketRules((512, 768), one_size=True), "resolution")
    assert rules.fit((1000, 1000)) == Fit((768, 768), (512, 768))
    assert rules.sizes == [(512, 768)]


@pytest.mark.parametrize(("text", "size"), [("512,512", (512, 512)), ("768", (768, 768)), (" 512 , 640 ", (512, 640))])
def test_resolutions_are_read(text: str, size: tuple[int, int]) -> None:
    assert parse_resolution(text, "resolution") == size


@pytest.mark.parametrize("text", ["", "512x512", "512,512,512", "a,b", "-512,512", "0", "512.5", "512,", "٥١٢"])
def test_what_is_no_resolution_is_said(text: str) -> None:
    with pytest.raises(BadOption, match="is no size. Write width,height such as 512,512, or one number") as caught:
        parse_resolution(text, "max_resolution")
    assert caught.value.option == "max_resolution"


@pytest.mark.parametrize(
    ("rules", "option", "sentence"),
    [
        (
            BucketRules((100, 100)),
            "resolution",
            "--resolution 100,100 is no multiple of the bucket step 64. Use 64 or 128.",
        ),
        (
            BucketRules((520, 700)),
            "resolution",
            "--resolution 520,700 is no multiple of the bucket step 64. "
            "Use 512 or 576 for the width and 640 or 704 for the height.",
        ),
        (
            BucketRules((512, 512), step_px=20),
            "bucket_reso_steps",
            "--bucket_reso_steps 20 is no multiple of 8. Use 16 or 24.",
        ),
        (
            BucketRules((512, 512), min_px=300),
            "min_bucket_reso",
            "--min_bucket_reso 300 is no multiple of the bucket step 64. Use 256 or 320.",
        ),
        (
            BucketRules((512, 512), min_px=832, max_px=768),
            "min_bucket_reso",
            "--min_bucket_reso 832 is more than --max_bucket_reso 768. Lower it or raise that.",
        ),
        (
            BucketRules((1280, 1280)),
            "max_bucket_reso",
            "--max_bucket_reso 1024 is less than the resolution. Use 1280 or more.",
        ),
    ],
)
def test_impossible_rules_are_said(rules: BucketRules, option: str, sentence: str) -> None:
    with pytest.raises(BadOption) as caught:
        checked_rules(rules, "resolution")
    assert (caught.value.option, str(caught.value)) == (option, sentence)


def test_without_buckets_a_resolution_is_a_multiple_of_8() -> None:
    one_size = BucketRules((720, 408), one_size=True)
    assert checked_rules(one_size, "resolution").fit((720, 408)) == Fit((720, 408), (720, 408))
    with pytest.raises(BadOption, match="--resolution 100,100 is no multiple of 8. Use 96 or 104."):
        checked_rules(BucketRules((100, 100), one_size=True), "resolution")


def test_a_smaller_step_allows_finer_resolutions() -> None:
    assert checked_rules(BucketRules((520, 520), step_px=8), "resolution").fit((520, 520)) == Fit(
        (520, 520), (520, 520)
    )
