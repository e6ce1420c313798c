"""Trainings whose pictures change each time they are shown: what reaches the loss, and that it comes again."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from sd_scripts.library.data import debug_dataset
from sd_scripts.library.data.latents import CachedLatents, write_latents
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.train.noise import Draw
from tests.train.tiny import Recorder, make_trainer, options, train

COUNT = 4
LENGTH = {"max_train_steps": 5, "train_batch_size": 4}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write_pictures(tmp_path)


@pytest.fixture(scope="module")
def plain_losses(tmp_path_factory: pytest.TempPathFactory) -> list[float]:
    """Those of pictures that do not change."""
    return losses(write_pictures(tmp_path_factory.mktemp("plain")), **LENGTH)


def write_pictures(folder: Path) -> Path:
    """Four pictures of 96 x 80 px: with a face by name, without, and two half transparent."""
    random = np.random.default_rng(3)
    for index in range(COUNT):
        pixels = random.integers(0, 256, (80, 96, 4), dtype=np.uint8)
        pixels[:, :, 3] = 255
        if index > 1:
            pixels[:, :40, 3] = 0
        Image.fromarray(pixels).save(folder / f"p_{index}{'_48_40_20_20' if index == 0 else ''}.png")
    return folder


def data_of(folder: Path, recorder: Recorder | None = None, **values):
    """The data and the options of a training on the folder; `train_resolution` puts sizes into the metadata."""
    size = values.pop("train_resolution", None)
    sizes = {"train_resolution": size} if size else {}
    entries = {path.stem: {"caption": path.stem} | sizes for path in folder.glob("*.png")}
    (folder / "meta.json").write_text(json.dumps(dict(sorted(entries.items()))))
    given = {"in_json": str(folder / "meta.json"), "train_data_dir": str(folder), "resolution": "64"} | values
    return read_data(options(folder, **given), (recorder or Recorder()).report), given


def losses(folder: Path, **values) -> list[float]:
    data, given = data_of(folder, **values)
    return train(folder, data=data, **given)[1].losses


RULES = {
    "flip_aug": {"flip_aug": True},
    "color_aug": {"color_aug": True},
    "random_crop": {"random_crop": True},
    "face_crop_aug_range": {"face_crop_aug_range": "1,2"},
    "alpha_mask": {"alpha_mask": True},
    "resize_interpolation": {"resize_interpolation": "nearest"},
}


@pytest.mark.parametrize("name", RULES)
def test_each_rule_changes_losses_and_comes_again_with_any_number_of_readers(folder, plain_losses, name):
    given = LENGTH | RULES[name]
    changed = losses(folder, **given)
    assert changed != plain_losses
    assert losses(folder, **given, max_data_loader_n_workers=4) == changed


def test_a_mirrored_showing_is_the_mirror_image_of_the_other(folder):
    data, _ = data_of(folder, flip_aug=True, alpha_mask=True)
    shown = {}
    for epoch in range(8):
        example = data.load(Item(2, 0), Moment(epoch=epoch, seed=1))
        shown["mirrored" in example.seen] = example
    assert torch.equal(shown[True].pixels_CHW, shown[False].pixels_CHW.flip(-1))
    assert torch.equal(shown[True].mask_HW, shown[False].mask_HW.flip(-1))
    assert not torch.equal(shown[True].mask_HW, shown[False].mask_HW)


def test_cached_latents_come_mirrored_and_with_their_masks(folder):
    data, given = data_of(folder, flip_aug=True, alpha_mask=True, cache_latents=True)
    trainer, _ = make_trainer(folder, data=data, **given)
    trainer._prepare()
    assert data.uncached() == []
    shown = {data.load(Item(3, 0), Moment(epoch=epoch, seed=1)).seen: epoch for epoch in range(8)}
    assert set(shown) == {"", "mirrored"}
    plain, mirrored = (data.load(Item(3, 0), Moment(epoch=shown[word], seed=1)) for word in ("", "mirrored"))
    assert torch.equal(mirrored.mask_HW, plain.mask_HW.flip(-1)) and plain.mask_HW.shape == (8, 8)
    assert plain.mask_HW[0].tolist() == mirrored.mask_HW[0].flip(0).tolist()
    # They are the VAE's, of the mirrored picture: not the plain latents turned over.
    pixels_CHW = data.unchanged(3).pixels_CHW
    assert not torch.allclose(mirrored.latents_CHW, plain.latents_CHW.flip(-1), atol=1e-3)
    expected = trainer.family.vae.encode(pixels_CHW.flip(-1)[None]).latent_dist
    assert ((mirrored.latents_CHW - expected.mean[0]).abs() <= 6 * expected.std[0] + 1e-5).all()
    assert data.load(Item(0, 0), Moment(seed=1)).mask_HW.tolist() == [[1.0] * 8] * 8


@pytest.mark.parametrize("option", ["cache_latents", "cache_latents_to_disk"])
def test_mirrored_pictures_and_masks_are_learnt_from_kept_latents(folder, option):
    plain = losses(folder, **{option: True})
    for name in ("flip_aug", "alpha_mask"):
        assert losses(folder, **{option: True}, **RULES[name]) != plain, name


def test_batches_carry_masks_and_those_without_count_fully(folder):
    data, given = data_of(folder, alpha_mask=True, train_batch_size=4)
    trainer, _ = make_trainer(folder, data=data, **given)
    trainer._prepare()
    draw = Draw(1, 0)
    (window,) = trainer.feed.windows(trainer._windows(), trainer._moment())
    batch = trainer.maker.make(window[0], draw)
    assert batch.mask_BHW.shape == (4, 8, 8)
    for place, image in enumerate(batch.images):
        half_HW = batch.mask_BHW[place]
        # Of 96 px that become 77 the middle 64 are cut out: 40 transparent ones end at (40 * 0.8 - 6) / 8 = 3.25.
        row = [1.0] * 8 if image < 2 else [0, 0, 0, 0.75, 1, 1, 1, 1]
        assert half_HW[4].tolist() == pytest.approx(row, abs=0.1)
    examples = [replace(e, mask_HW=None if e.item.image else e.mask_HW * 0) for e in window[0].examples]
    some = replace(window[0], examples=examples)
    mask_BHW = trainer.maker.make(some, draw).mask_BHW
    assert [float(mask_BHW[i].mean()) for i in range(4)] == [float(image > 0) for image in batch.images]
    none = replace(window[0], examples=[replace(e, mask_HW=None) for e in window[0].examples])
    assert trainer.maker.make(none, draw).mask_BHW is None


def prepared(folder: Path, seed: int = 0, **arrays: np.ndarray) -> None:
    """Latents beside every picture, as another program might have made them."""
    for path in folder.glob("*.png"):
        latents = np.random.default_rng(seed).standard_normal((4, 8, 8)).astype(np.float32)
        np.savez(path.with_suffix(".npz"), arr_0=latents, **arrays)


@pytest.mark.parametrize("name", ["color_aug", "random_crop", "face_crop_aug_range"])
def test_prepared_latents_are_not_used_for_pictures_that_change(folder, name):
    prepared(folder)
    recorder = Recorder()
    data, _ = data_of(folder, recorder, train_resolution=[64, 64], **RULES[name])
    assert len(data.uncached()) == COUNT
    assert f"encoded each time they are shown: 4 as --{name} shows pictures differently each time." in recorder.said
    assert data_of(folder, train_resolution=[64, 64])[0].uncached() == []


def test_prepared_latents_without_a_mirror_image_or_a_mask_are_made_anew(folder):
    prepared(folder)
    for name, why in (("flip_aug", "they have no mirror image, which"), ("alpha_mask", "they carry no alpha mask")):
        recorder = Recorder()
        data, _ = data_of(folder, recorder, train_resolution=[64, 64], **{name: True})
        assert len(data.uncached()) == COUNT and f"4 as {why}" in recorder.said


def test_prepared_masks_reach_the_loss(folder):
    mask_HW = np.ones((64, 64), np.float32)
    mask_HW[:, :32] = 0.0
    prepared(folder, alpha_mask=mask_HW)
    recorder = Recorder()
    data, _ = data_of(folder, recorder, train_resolution=[64, 64], alpha_mask=True)
    assert data.uncached() == []
    assert data.load(Item(0, 0), Moment()).mask_HW.tolist() == [[0.0] * 4 + [1.0] * 4] * 8
    data, _ = data_of(folder, recorder, train_resolution=[64, 64])
    assert len(data.uncached()) == COUNT
    assert "4 as they carry an alpha mask, and --alpha_mask is not given." in recorder.said


def test_latents_whose_picture_is_gone_serve_as_they_are(folder):
    prepared(folder)
    data_of(folder, train_resolution=[64, 64])
    for path in folder.glob("*.png"):
        path.unlink()
    given = {"in_json": str(folder / "meta.json"), "train_data_dir": str(folder), "flip_aug": True, "alpha_mask": True}
    data = read_data(options(folder, **given), Recorder().report)
    assert data.uncached() == [] and data.load(Item(0, 0), Moment()).mask_HW is None


def test_latents_scaled_in_another_way_are_made_anew_when_a_way_is_named(folder):
    for path in folder.glob("*.png"):
        write_latents(path.with_suffix(".npz"), CachedLatents(np.zeros((4, 8, 8), np.float32)))
        with np.load(path.with_suffix(".npz")) as file:
            np.savez(path.with_suffix(".npz"), **file, resize_interpolation=np.array(""))
    assert data_of(folder, train_resolution=[64, 64])[0].uncached() == []
    recorder = Recorder()
    data, _ = data_of(folder, recorder, train_resolution=[64, 64], resize_interpolation="area")
    assert len(data.uncached()) == COUNT
    assert "4 as they were scaled in another way (resize_interpolation)." in recorder.said


def test_debug_dataset_says_how_pictures_are_seen(folder):
    data, _ = data_of(folder, flip_aug=True, random_crop=True, alpha_mask=True)
    recorder = Recorder()
    debug_dataset.show(data, len, recorder.report, seed=1)
    lines = [line for line in recorder.said.splitlines() if "pixels 3 x 64 x 64" in line]
    assert len(lines) == COUNT
    assert all("scaled to 77 x 64, cut at " in line for line in lines)
    assert 0 < sum("mirrored" in line for line in lines) < COUNT
    assert "100% of it counts" in lines[0] and "100% of it counts" not in lines[2]
