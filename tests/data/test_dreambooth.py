"""Folders named repeats_words: what is read of them, and what is said of the others."""

import io
from pathlib import Path

import pytest

from sd_scripts.library.data.dreambooth import NamedFolder, left_out, named_folders
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.read_dataset import read_data
from sd_scripts.library.data.training_data import Moment
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.report import Report
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_db import TrainDbOptions
from sd_scripts.options.train_network import TrainNetworkOptions
from tests.data.bad_pictures import write_named


def read(out: io.StringIO | None = None, **options: object) -> PictureData:
    values = {name: str(value) if isinstance(value, Path) else value for name, value in options.items()}
    return read_data(from_values(TrainDbOptions, {"resolution": "64"} | values), Report(out=out or io.StringIO()))


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    for name, pictures in {"10_sks dog": ("a.png", "b.png"), "2_a_hat ": ("c.png",), "0_off": ("d.png",)}.items():
        write_named(tmp_path / "img" / name, pictures)
    write_named(tmp_path / "img" / "unnamed", ("e.png",))
    (tmp_path / "img" / "notes").mkdir()
    (tmp_path / "img" / "10_sks dog" / "b.caption").write_text("a dog in snow", encoding="utf-8")
    return tmp_path / "img"


def test_names_say_repeats_and_words(folders: Path) -> None:
    assert named_folders(str(folders), "train_data_dir") == [
        NamedFolder(folders / "10_sks dog", 10, "sks dog"),
        NamedFolder(folders / "2_a_hat ", 2, "a_hat"),
    ]
    assert left_out(str(folders)) == ["0_off", "unnamed"]


def test_pictures_are_shown_as_often_as_their_folder_says(folders: Path) -> None:
    out = io.StringIO()
    data = read(out, train_data_dir=folders)
    assert [(image.path.name, image.text) for image in data.images] == [
        ("a.png", "sks dog"), ("b.png", "a dog in snow"), ("c.png", "a_hat"),
    ]  # fmt: skip
    assert sum(len(batch) for batch in data.plan(0, 1)) == 10 + 10 + 2
    said = out.getvalue()
    assert '1 of 2 pictures have a .caption file; 1 without one are called "sks dog" (the folder\'s name).' in said
    assert "Not read in" in said and ": 0_off, unnamed. Name them repeats_words" in said


def test_regularisation_pictures_weigh_as_asked_and_come_as_often(folders: Path, tmp_path: Path) -> None:
    write_named(tmp_path / "reg" / "1_dog", ("r.png", "s.png"))
    data = read(train_data_dir=folders, reg_data_dir=tmp_path / "reg", prior_loss_weight=0.3)
    items = [item for batch in data.plan(0, 1) for item in batch]
    regularising = [item for item in items if data.pictures[item.image].subset.is_reg]
    assert len(regularising) == len(items) - len(regularising) == 22
    weights = {data.pictures[item.image].subset.is_reg: data.load(item, Moment()).weight for item in items}
    assert weights == {False: 1.0, True: 0.3}


def test_a_folder_of_pictures_alone_is_read_too(folders: Path, tmp_path: Path) -> None:
    named = read(train_data_dir=folders / "10_sks dog")
    assert named.pictures[0].repeats == 10 and named.images[0].text == "sks dog"
    (folders / "unnamed" / "e.txt").write_text("a thing", encoding="utf-8")
    plain = read(train_data_dir=folders / "unnamed", caption_extension=".txt")
    assert plain.pictures[0].repeats == 1 and plain.images[0].text == "a thing"
    with pytest.raises(NothingUsable, match="Write --caption_extension .txt for them"):
        read(train_data_dir=folders / "unnamed")


def test_where_nothing_is_found_it_says_where_to_look(folders: Path, tmp_path: Path) -> None:
    with pytest.raises(BadOption, match="There are some in img: name it, --train_data_dir"):
        read(train_data_dir=tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadOption, match="no folder of pictures named repeats_words"):
        read(train_data_dir=folders, reg_data_dir=tmp_path / "empty")
    write_named(tmp_path / "flat" / "dogs", ("x.png",))
    with pytest.raises(BadOption, match='"10_dogs" shows each picture ten times'):
        read(train_data_dir=tmp_path / "flat")
    with pytest.raises(BadOption, match="there is no such folder"):
        read(train_data_dir=tmp_path / "nowhere")
    with pytest.raises(BadOption, match="--train_data_dir is needed"):
        read()
    both = {"in_json": "meta.json", "train_data_dir": str(folders), "reg_data_dir": str(folders)}
    with pytest.raises(BadOption, match="--reg_data_dir does not go with --in_json"):
        read_data(from_values(TrainNetworkOptions, both), Report(out=io.StringIO()))


def test_a_weight_without_regularisation_pictures_is_told(folders: Path) -> None:
    out = io.StringIO()
    read(out, train_data_dir=folders, prior_loss_weight=0.5)
    assert "--prior_loss_weight changes nothing" in out.getvalue()
