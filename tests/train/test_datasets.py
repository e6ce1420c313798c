"""Training on several datasets, and on data of a class: what the files say of them, and how items weigh."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.data.dataset_facts import header_facts
from sd_scripts.library.data.debug_dataset import show
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.read_dataset import open_data, read_data
from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values
from tests.train.tiny import Recorder, make_trainer

CONFIG = """
[general]
resolution = 64
class_tokens = "noise"

[[datasets]]
batch_size = 2
[[datasets.subsets]]
image_dir = "pics"
num_repeats = 2
[[datasets.subsets]]
image_dir = "reg"
is_reg = true

[[datasets]]
resolution = [128, 64]
[[datasets.subsets]]
metadata_file = "meta.json"
image_dir = "pics"
shuffle_caption = true
"""


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    for folder, count in (("pics", 2), ("reg", 3)):
        (tmp_path / folder).mkdir()
        for n in range(count):
            pixels = np.random.default_rng(n).integers(0, 256, (64, 64, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / folder / f"{n}.png")
    (tmp_path / "meta.json").write_text(json.dumps({"0": {"tags": "a, b, c"}, "1": {"tags": "A"}}))
    (tmp_path / "data.toml").write_text(CONFIG)
    monkeypatch.chdir(tmp_path)


def given(**values):
    return from_values(FineTuneOptions, {"dataset_config": "data.toml"} | values)


def test_headers_say_what_the_datasets_are():
    data = read_data(given(), Recorder().report)
    facts = header_facts(data, data.plan(0, 1))
    # Three regularisation pictures match four showings.
    assert (facts["ss_num_train_images"], facts["ss_num_reg_images"]) == (6, 4)
    assert json.loads(facts["ss_dataset_dirs"]) == {
        "pics": {"n_repeats": 2, "img_count": 2},
        "meta.json": {"n_repeats": 1, "img_count": 2},
    }
    assert "ss_resolution" not in facts and facts["ss_num_validation_images"] == 0
    assert json.loads(facts["ss_reg_dataset_dirs"]) == {"reg": {"n_repeats": 1, "img_count": 3}}
    assert json.loads(facts["ss_tag_frequency"])["meta.json"] == {"a": 2, "b": 1, "c": 1}
    first, second = json.loads(facts["ss_datasets"])
    assert first["is_dreambooth"] and not second["is_dreambooth"]
    assert (first["batch_size_per_device"], first["num_train_images"], first["num_reg_images"]) == (2, 4, 4)
    assert [subset["img_count"] for subset in first["subsets"] + second["subsets"]] == [2, 3, 2]
    assert second["resolution"] == [128, 64] and second["subsets"][0]["metadata_file"] == "meta.json"
    assert second["bucket_info"] == {"buckets": {"0": {"resolution": [128, 64], "count": 2}}}
    assert str(Path.cwd()) not in json.dumps(facts)


def test_a_folder_in_several_datasets_is_counted_once(tmp_path):
    again = '\n[[datasets]]\nresolution = 128\n[[datasets.subsets]]\nimage_dir = "pics"\nnum_repeats = 3\n'
    (tmp_path / "data.toml").write_text(CONFIG + again)
    data = read_data(given(), Recorder().report)
    facts = header_facts(data, data.plan(0, 1))
    assert json.loads(facts["ss_dataset_dirs"])["pics"] == {"n_repeats": 5, "img_count": 2}
    assert json.loads(facts["ss_tag_frequency"])["pics"] == {"noise": 2}


def test_it_trains_every_picture_in_batches_of_its_dataset():
    recorder = Recorder()
    data = read_data(given(), recorder.report)
    trainer, told = make_trainer(Path.cwd(), data=data, as_asked=False, max_train_epochs=1, dataset_config="data.toml")
    trainer.run()
    assert len(told.losses) == 4 + 2
    assert data.captions_change


def test_regularisation_pictures_weigh_as_asked():
    data = read_data(given(), Recorder().report)
    halved = PictureData(data.datasets, data.pictures, prior_loss_weight=0.5)
    weights = [halved.load(Item(n, 0), Moment()).weight for n in range(len(halved.images))]
    assert weights == [1.0, 1.0, 0.5, 0.5, 0.5, 1.0, 1.0]
    assert {data.load(Item(n, 0), Moment()).weight for n in range(7)} == {1.0}
    told = Recorder()
    show(halved, len, told.report)
    assert "Dataset 1: 64 x 64, batches of 2\n  pics: 2 pictures, 4 showings an epoch\n" in told.said
    assert "  reg: 3 regularisation pictures, 4 showings an epoch\nDataset 2: 128 x 64, batches of 1\n" in told.said
    assert "weight 0.5)\n    noise [5 tokens]" in told.said


def test_data_of_a_class_train():
    values = {"dataset_class": "tests.effects.squares.Squares", "max_train_steps": 2}
    data = open_data(from_values(FineTuneOptions, values), Recorder().report)
    trainer, told = make_trainer(Path.cwd(), data=data, as_asked=False, **values)
    trainer.run()
    assert len(told.losses) == 2 and [image.key for image in trainer.data.images] == ["dark", "light"]
