"""What SDXL is told of a picture's size: of the picture, of what is cut from it, and of latents that were kept."""

import numpy as np
import pytest
import torch
from PIL import Image

from sd_scripts.library.data.latents import read_origin
from sd_scripts.library.data.latents_files import LatentsFinder
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.training_data import Item, Moment, Sizes, uncut
from sd_scripts.library.report import Report
from sd_scripts.library.train.batches import BatchMaker, Encoder
from sd_scripts.library.train.device import make_accelerator
from sd_scripts.library.train.feed import Loaded
from sd_scripts.library.train.noise import Draw
from tests.train.tiny import options
from tests.train.tiny_sdxl import tiny_sdxl, train_sdxl

BUCKET = (64, 64)
# 160 x 64 covers 64 x 64 as it is; 48 px are cut from each side.
CENTRE = Sizes((160, 64), (48, 0), BUCKET)


@pytest.fixture
def folder(tmp_path):
    pictures = tmp_path / "pics"
    pictures.mkdir()
    Image.effect_noise((160, 64), 60).convert("RGB").save(pictures / "picture0.png")
    return tmp_path


def read(folder, suffix="sdxl", **values) -> PictureData:
    given = {"train_data_dir": str(folder / "pics"), "resolution": "64", **values}
    return read_data(options(folder, **given), Report(), latents_suffix=suffix)


def sizes(data, epoch=0):
    return data.load(Item(0, 0), Moment(epoch=epoch)).sizes


def test_of_pictures_as_they_are_cut(folder):
    assert sizes(read(folder)) == CENTRE
    assert CENTRE.numbers() == (64.0, 160.0, 0.0, 48.0, 64.0, 64.0)
    random = {sizes(read(folder, random_crop=True), epoch) for epoch in range(6)}
    assert len(random) > 1 and all(found.original_px == (160, 64) for found in random)


def test_a_mirror_image_is_cut_from_the_other_side(folder):
    data = read(folder, flip_aug=True, random_crop=True)
    plain = read(folder, random_crop=True)
    pairs = [(sizes(data, epoch), sizes(plain, epoch), epoch) for epoch in range(12)]
    corners = {(flipped.corner_px[0], cut.corner_px[0]) for flipped, cut, _ in pairs}
    assert any(flipped != cut for flipped, cut in corners)
    assert all(flipped in (cut, 160 - 64 - cut) for flipped, cut in corners)


def test_of_latents_in_memory_and_on_disk(folder):
    data = read(folder)
    data.put_latents(0, torch.zeros(4, 8, 8))
    assert sizes(data) == CENTRE
    given = {"train_data_dir": str(folder / "pics"), "resolution": "64", "cache_latents_to_disk": True}
    train_sdxl(folder, data=read(folder), as_asked=False, **given, max_train_steps=1)
    file = folder / "pics" / "picture0_0160x0064_sdxl.npz"
    assert file.is_file()
    assert sizes(read(folder)) == CENTRE
    (folder / "pics" / "picture0.png").unlink()
    assert sizes(read(folder)) == CENTRE
    # Those of Stable Diffusion 1 are others.
    picture = folder / "pics" / "picture0.png"
    assert LatentsFinder(suffix="sdxl").of(picture, BUCKET).plain == file
    assert LatentsFinder(suffix="sd").of(picture, BUCKET).plain is None


def test_of_other_programs_latents(tmp_path):
    told = {"original_size": np.array([160, 64]), "crop_ltrb": np.array([48, 0, 112, 64])}
    np.savez(tmp_path / "a.npz", latents=np.zeros((4, 8, 8), np.float32), **told)
    original_px, fit = read_origin(tmp_path / "a.npz", BUCKET)
    assert original_px == (160, 64) and fit.crop_ltrb == (48, 0, 112, 64) and fit.resized_px == (160, 64)
    np.savez(tmp_path / "b.npz", arr_0=np.zeros((4, 8, 8), np.float32))
    assert read_origin(tmp_path / "b.npz", BUCKET) is None


def test_a_batch_has_them_and_they_count(folder):
    family, data = tiny_sdxl(), read(folder)
    data.put_latents(0, torch.zeros(4, 8, 8))
    accelerator = make_accelerator(options(folder))
    maker = BatchMaker(family, Encoder(family, accelerator, True), data.images, Report())
    batch = maker.make(Loaded([data.load(Item(0, 0), Moment())]), Draw(1, 0))
    assert batch is not None and batch.sizes_B6.tolist() == [list(CENTRE.numbers())]
    assert uncut((72, 64)).numbers() == (64.0, 72.0, 0.0, 0.0, 64.0, 72.0)
