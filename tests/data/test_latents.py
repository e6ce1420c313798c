"""Latents files: what is written, the layouts that are read, and which of them fit."""

import pickle
from pathlib import Path

import numpy as np
import pytest

from sd_scripts.library.data.buckets import Fit
from sd_scripts.library.data.known_files import content_hash
from sd_scripts.library.data.latents import (
    CachedLatents,
    MadeFrom,
    read_for_training,
    read_latents,
    read_mask,
    write_latents,
)
from sd_scripts.library.data.latents_files import LatentsFinder
from sd_scripts.library.data.latents_head import Expected
from sd_scripts.library.data.npz import BrokenLatents
from tests.data.bad_pictures import write_named

FIT = Fit((683, 384), (640, 384))
MADE = MadeFrom("ab" * 16, 1234, (1920, 1080), FIT, "cd" * 32, "fp16")
BUCKET = (640, 384)


def latents(seed: int = 0, bucket: tuple[int, int] = BUCKET) -> np.ndarray:
    shape = (4, bucket[1] // 8, bucket[0] // 8)
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def test_a_file_says_what_it_was_made_from(tmp_path: Path) -> None:
    mask = np.linspace(0, 1, 384 * 640, dtype=np.float32).reshape(384, 640)
    write_latents(tmp_path / "a.npz", CachedLatents(latents(), MADE, mask))
    read = read_latents(tmp_path / "a.npz")
    assert read.made_from == MADE
    assert np.array_equal(read.latents_CHW, latents()) and np.array_equal(read.alpha_mask_HW, mask)
    assert [p.name for p in tmp_path.iterdir()] == ["a.npz"]
    # What other programs read of it.
    with np.load(tmp_path / "a.npz") as file:
        assert file["arr_0"].shape == (4, 48, 80) and file["arr_0"].dtype == np.float32
        assert file["crop_ltrb"].tolist() == [21, 0, 661, 384]


def test_files_of_arr_0_alone_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", latents().astype(np.float16))
    read = read_latents(tmp_path / "a.npz")
    assert read.made_from is None and read.latents_CHW.dtype == np.float32
    assert np.allclose(read_for_training(tmp_path / "a.npz", BUCKET), latents(), atol=2e-3)


class Trap:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (exec, ("raise SystemExit('run')",))


def test_broken_files_are_refused_and_nothing_in_them_is_run(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    write_latents(path, CachedLatents(latents(), MADE))
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[2000] ^= 0xFF
    trap = np.empty(1, object)
    trap[0] = Trap()
    contents = [b"", b"text", whole[: len(whole) // 2], bytes(flipped), pickle.dumps([1])]
    for content in contents:
        path.write_bytes(content)
        with pytest.raises(BrokenLatents):
            read_latents(path)
        with pytest.raises(BrokenLatents):
            read_for_training(path, BUCKET)
    for arrays in ({"arr_0": trap}, {"other": latents()}, {"arr_0": latents()[0]}, {"arr_0": latents() * np.nan}):
        np.savez(path, **arrays)
        with pytest.raises(BrokenLatents):
            read_latents(path)


def newer(path: Path, bucket: tuple[int, int] = BUCKET, suffixed: bool = False, seed: int = 0) -> None:
    end = f"_{bucket[1] // 8}x{bucket[0] // 8}" if suffixed else ""
    arrays = {"latents": latents(seed, bucket), "latents_flipped": latents(seed + 1, bucket)}
    arrays |= {"original_size": np.array([1920, 1080]), "crop_ltrb": np.array([0, 0, 1920, 1080])}
    np.savez(path, **{name + end: value for name, value in arrays.items()})


@pytest.mark.parametrize("suffixed", [False, True])
def test_the_newer_layout_is_read(tmp_path: Path, suffixed: bool) -> None:
    image = write_named(tmp_path, ("a.png",))[0]
    newer(tmp_path / "a_1920x1080_sd.npz", suffixed=suffixed)
    files = LatentsFinder().of(image, BUCKET, Expected(mirrored=True))
    assert files.plain == files.flipped == tmp_path / "a_1920x1080_sd.npz"
    assert LatentsFinder().of(image, BUCKET) == (files.plain, None, "")
    assert np.array_equal(read_for_training(files.plain, BUCKET), latents(0))
    assert np.array_equal(read_for_training(files.plain, BUCKET, flipped=True), latents(1))
    assert LatentsFinder().of(image, (512, 512)).misfit == "they have another size"


def test_several_sizes_in_one_file(tmp_path: Path) -> None:
    image = write_named(tmp_path, ("a.png",))[0]
    arrays = {f"latents_{h // 8}x{w // 8}": latents(w, (w, h)) for w, h in ((512, 512), BUCKET)}
    np.savez(tmp_path / "a_0096x0064_sd.npz", **arrays)
    for bucket in ((512, 512), BUCKET):
        files = LatentsFinder().of(image, bucket)
        assert files.flipped is None
        assert np.array_equal(read_for_training(files.plain, bucket), latents(bucket[0], bucket))


def test_no_picture_gets_the_latents_of_another(tmp_path: Path) -> None:
    one, ten, sd, mirror = write_named(tmp_path, ("img1.png", "img10.png", "img.png", "img1_flip.png"))
    newer(tmp_path / "img10_0096x0064_sd.npz")
    np.savez(tmp_path / "img1.npz", latents())
    np.savez(tmp_path / "img1_flip.npz", latents(3))
    newer(tmp_path / "img_0096x0064_sdxl.npz")
    finder = LatentsFinder()
    assert finder.of(ten, BUCKET).plain == tmp_path / "img10_0096x0064_sd.npz"
    assert finder.of(one, BUCKET) == (tmp_path / "img1.npz", None, "")
    assert finder.of(mirror, BUCKET).plain == tmp_path / "img1_flip.npz"
    assert finder.of(sd, BUCKET) == (None, None, "")


def test_latents_of_another_source_or_vae_are_not_taken(tmp_path: Path) -> None:
    image = write_named(tmp_path, ("a.png",))[0]
    size, content = image.stat().st_size, content_hash(image.read_bytes())
    cases = {"": (size, "cd" * 32), "the picture has changed since": (size + 1, "cd" * 32)}
    for misfit, (source_bytes, vae) in {**cases, "they come from another VAE": (size, "00")}.items():
        made = MadeFrom(content, source_bytes, (96, 64), FIT, vae, "no")
        write_latents(tmp_path / "a.npz", CachedLatents(latents(), made))
        files = LatentsFinder().of(image, BUCKET, Expected(vae_hash="cd" * 32))
        assert (files.misfit, files.plain is None) == (misfit, bool(misfit))
    # Where the old file does not fit, the newer one is taken.
    newer(tmp_path / "a_0096x0064_sd.npz")
    assert LatentsFinder().of(image, BUCKET, Expected(vae_hash="cd" * 32)).plain == tmp_path / "a_0096x0064_sd.npz"


def save_masked(path: Path, mask_HW: np.ndarray, **more: np.ndarray) -> Path:
    np.savez(path, **({"arr_0": latents(), "alpha_mask": mask_HW} | more))
    return path


MASK = np.linspace(0, 1, BUCKET[1] * BUCKET[0], dtype=np.float32).reshape(BUCKET[1], BUCKET[0])


def test_masks_are_read_from_both_layouts(tmp_path: Path) -> None:
    prepared = save_masked(tmp_path / "a.npz", MASK)
    assert np.array_equal(read_mask(prepared, BUCKET), MASK)
    # Of a prepared file the name says which way it is, so its mask is already mirrored.
    assert np.array_equal(read_mask(prepared, BUCKET, flipped=True), MASK)
    newer = tmp_path / "b_0096x0064_sd.npz"
    np.savez(newer, latents=latents(), latents_flipped=latents(1), alpha_mask=MASK)
    assert np.array_equal(read_mask(newer, BUCKET), MASK)
    assert np.array_equal(read_mask(newer, BUCKET, flipped=True), MASK[:, ::-1])


def test_a_file_of_several_resolutions_has_a_mask_for_each(tmp_path: Path) -> None:
    height, width = BUCKET[1] // 8, BUCKET[0] // 8
    both = {f"latents_{height}x{width}": latents(), f"alpha_mask_{height}x{width}": MASK}
    np.savez(tmp_path / "c.npz", **both, alpha_mask_4x4=np.zeros((32, 32), np.float32))
    assert np.array_equal(read_mask(tmp_path / "c.npz", BUCKET), MASK)
    assert read_mask(tmp_path / "c.npz", (64, 64)) is None


def test_a_file_without_a_mask_or_with_one_that_is_none(tmp_path: Path) -> None:
    np.savez(tmp_path / "a.npz", latents())
    assert read_mask(tmp_path / "a.npz", BUCKET) is None
    assert read_mask(save_masked(tmp_path / "b.npz", MASK[:8]), BUCKET) is None
    with pytest.raises(BrokenLatents, match="its alpha mask does not hold numbers"):
        read_mask(save_masked(tmp_path / "c.npz", MASK * np.nan), BUCKET)
    assert read_mask(save_masked(tmp_path / "d.npz", MASK * 3), BUCKET).max() == 1.0


@pytest.mark.parametrize(
    ("expected", "misfit"),
    [
        (Expected(), ""),
        (Expected(alpha_mask=False), "they carry an alpha mask, and --alpha_mask is not given"),
        (Expected(alpha_mask=True, interpolation="area"), ""),
        (Expected(interpolation="lanczos"), "they were scaled in another way (resize_interpolation)"),
        (Expected(mirrored=True), "they have no mirror image, which --flip_aug asks for"),
    ],
)
def test_latents_must_be_as_the_options_say(tmp_path: Path, expected: Expected, misfit: str) -> None:
    (image,) = write_named(tmp_path, ("a.png",))
    save_masked(tmp_path / "a.npz", MASK, resize_interpolation=np.array("area"))
    assert LatentsFinder().of(image, BUCKET, expected).misfit == misfit


def test_what_is_not_known_of_latents_is_not_compared(tmp_path: Path) -> None:
    (image,) = write_named(tmp_path, ("a.png",))
    np.savez(tmp_path / "a.npz", latents())
    finder = LatentsFinder()
    assert finder.of(image, BUCKET, Expected(interpolation="lanczos", alpha_mask=False)).plain
    assert finder.of(image, BUCKET, Expected(alpha_mask=True)).misfit == "they carry no alpha mask"
    # Latents without their picture serve as they are: nothing else can be made.
    image.unlink()
    assert LatentsFinder().of(image, BUCKET, Expected(mirrored=True)).plain
