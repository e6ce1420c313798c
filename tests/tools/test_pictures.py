"""Scaling, grouping, balancing and training folders: copies, whatever is there stays, trouble is counted."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sd_scripts.library.data.balancing import balance
from sd_scripts.library.data.dreambooth_folders import make_folders
from sd_scripts.library.data.grouping import group_images
from sd_scripts.library.data.images import image_size
from sd_scripts.library.data.resizing import resize_images
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.options.picture_tools import BalanceOptions, GroupImagesOptions, MakeFoldersOptions, ResizeImagesOptions
from tests.tools.conftest import listed, picture, ran


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Two pictures with texts, one with transparency, one broken, and latents that fit none of the copies."""
    folder = tmp_path / "pictures"
    picture(folder / "wide.png", (200, 100))
    picture(folder / "clear.png", (100, 100), "RGBA")
    (folder / "wide.txt").write_text("a, b", encoding="utf-8")
    (folder / "wide.caption").write_bytes("猫".encode("cp932"))
    (folder / "wide.npz").write_bytes(b"latents")
    (folder / "broken.png").write_text("no picture", encoding="utf-8")
    return folder


def state(folder: Path) -> dict[str, tuple[bytes, int]]:
    return {name: ((folder / name).read_bytes(), (folder / name).stat().st_mtime_ns) for name in listed(folder)}


def resized(source: Path, target: Path, **flags: Any) -> Any:
    return ran(resize_images, ResizeImagesOptions, src_img_folder=str(source), dst_img_folder=str(target), **flags)


def test_pictures_shrink_to_the_area_in_whole_steps(pictures: Path, tmp_path: Path) -> None:
    before = state(pictures)
    report = resized(pictures, tmp_path / "small", max_resolution="50x50, 300x300", divisible_by=8, save_as_png=True)
    names = ["clear+300x300.png", "clear+50x50.png", "wide+300x300.png", "wide+50x50.png"]
    assert listed(tmp_path / "small") == names
    sizes = {name: image_size(tmp_path / "small" / name) for name in names}
    # sqrt(2500 / 20000) of 200x100 is 70.7x35.35, cut to multiples of 8; what is smaller is not enlarged.
    assert sizes == dict(zip(names, [(96, 96), (48, 48), (200, 96), (64, 32)], strict=True))
    with Image.open(tmp_path / "small" / names[0]) as kept:
        assert kept.mode == "RGBA"
    assert report.counts["skipped"] == 1 and report.counts["written"] == 4
    assert state(pictures) == before


def test_texts_go_along_with_each_size_and_a_full_folder_is_not_mixed_into(pictures: Path, tmp_path: Path) -> None:
    target = tmp_path / "small"
    target.mkdir()
    (target / "wide+50x50.jpg").write_text("mine", encoding="utf-8")
    flags: dict[str, Any] = {"max_resolution": "50x50", "copy_associated_files": True, "interpolation": "cubic"}
    with pytest.raises(BadOption, match="the folder is not empty"):
        resized(pictures, target, **flags)
    assert listed(target) == ["wide+50x50.jpg"]
    report = resized(pictures, target, **flags, add_to_existing=True)
    assert listed(target) == ["clear+50x50.jpg", "wide+50x50.caption", "wide+50x50.jpg", "wide+50x50.txt"]
    assert (target / "wide+50x50.jpg").read_text(encoding="utf-8") == "mine"
    assert (target / "wide+50x50.caption").read_bytes() == "猫".encode("cp932")
    assert "1 picture written" in report.said and "1 were there already" in report.said


def test_one_name_twice_is_told_and_a_wrong_size_is_refused(pictures: Path, tmp_path: Path) -> None:
    picture(pictures / "wide.jpg")
    report = resized(pictures, tmp_path / "small", max_resolution="50x50")
    assert (str(pictures / "wide.png"), "its copies would have the names of those of wide.jpg") in report.failures
    for size in ("512", "0x5", "x", "5x5x5"):
        with pytest.raises(BadOption, match="write sizes such as 512x512"):
            resized(pictures, tmp_path / "other", max_resolution=size)


BUCKETS = {"max_resolution": "128", "min_bucket_reso": 64, "max_bucket_reso": 256}


def grouped(source: Path, target: Path, **flags: Any) -> Any:
    values = {"input_folder": str(source), "output_folder": str(target), **BUCKETS, **flags}
    return ran(group_images, GroupImagesOptions, **values)


def test_pictures_are_grouped_as_they_would_be_trained(pictures: Path, tmp_path: Path) -> None:
    picture(pictures / "wide.png", (240, 80))
    grouped(pictures, tmp_path / "plain")
    expected = ["128x128/clear.png", "192x64/wide.caption", "192x64/wide.png", "192x64/wide.txt"]
    assert listed(tmp_path / "plain") == expected
    assert next((tmp_path / "plain").rglob("wide.png")).read_bytes() == (pictures / "wide.png").read_bytes()
    report = grouped(pictures, tmp_path / "fitted", fit=True)
    for path in (tmp_path / "fitted").rglob("*.png"):
        assert "x".join(map(str, image_size(path))) == path.parent.name
    assert report.counts["copied"] == 2 and report.counts["skipped"] == 1


def test_equal_names_of_several_folders_do_not_take_each_others_texts(tmp_path: Path) -> None:
    for name in ("one", "two"):
        picture(tmp_path / "all" / name / "a.png")
        (tmp_path / "all" / name / "a.txt").write_text(name, encoding="utf-8")
    report = grouped(tmp_path / "all", tmp_path / "out", recursive=True)
    assert len(report.failures) == 1 and "has a picture of this name already" in report.failures[0][1]
    assert (next((tmp_path / "out").rglob("a.txt"))).read_text(encoding="utf-8") == "one"
    with pytest.raises(BadOption, match="whose folders are all read"):
        grouped(tmp_path / "all", tmp_path / "all" / "out", recursive=True)


def made(root: Path, pictures: Path, **flags: Any) -> Any:
    values = {"output_folder": str(root), "train_pictures": str(pictures)}
    values |= {"instance_prompt": "sks", "class_prompt": "dog"}
    return ran(make_folders, MakeFoldersOptions, **(values | flags))


def test_folders_are_those_that_trainings_read_and_are_made_once(pictures: Path, tmp_path: Path) -> None:
    from sd_scripts.library.data.dreambooth import named_folders

    before = state(pictures)
    root = tmp_path / "project"
    picture(tmp_path / "dogs" / "dog.jpg")
    report = made(root, pictures, repeats=10, reg_pictures=str(tmp_path / "dogs"), reg_repeats=2)
    assert {path.name for path in root.iterdir()} == {"img", "reg", "log", "model"}
    assert listed(root / "img" / "10_sks dog") == ["broken.png", "clear.png", "wide.caption", "wide.png", "wide.txt"]
    assert listed(root / "reg") == ["2_dog/dog.jpg"]
    (folder,) = named_folders(str(root / "img"), "train_data_dir")
    assert (folder.repeats, folder.words) == (10, "sks dog")
    assert f'--train_data_dir "{root / "img"}"' in report.said
    there = state(root)
    with pytest.raises(BadOption, match="the folder is not empty"):
        made(root, pictures)
    again = made(root, pictures, repeats=10, reg_pictures=str(tmp_path / "dogs"), reg_repeats=2, add_to_existing=True)
    assert state(root) == there and again.counts["copied"] == 0 and again.counts["kept"] == 4
    assert state(pictures) == before


def test_a_file_that_is_larger_than_any_picture_is_left_out(pictures: Path, tmp_path: Path) -> None:
    for name in ("wide.png", "clear.txt"):
        with open(pictures / name, "ab") as file:
            file.truncate(100 * 10**9)
    report = made(tmp_path / "project", pictures)
    for name in ("wide.png", "clear.txt"):
        assert f"{name} has more than 4 GB, as no picture or text has" in report.said
    assert "clear.png" not in listed(tmp_path / "project" / "img" / "40_sks dog")


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"instance_prompt": "a/b"}, 'cannot have "/" in it'),
        ({"instance_prompt": None, "class_prompt": None}, "--instance_prompt or --class_prompt is needed"),
        ({"train_pictures": None}, "--train_pictures is needed"),
        ({"class_prompt": "dog."}, "cannot end with a full stop"),
    ],
)
def test_names_that_no_folder_can_have_are_refused(pictures: Path, tmp_path: Path, flags: Any, says: str) -> None:
    with pytest.raises(BadOption, match=says):
        made(tmp_path / "project", pictures, **flags)
    assert not (tmp_path / "project").exists()


def test_concepts_come_to_weigh_alike(tmp_path: Path) -> None:
    for name, count in (("cats", 12), ("3_sks dog", 5), ("1_empty", 0)):
        (tmp_path / "img" / name).mkdir(parents=True)
        for number in range(count):
            picture(tmp_path / "img" / name / f"{number}.png", (8, 8))
    before = state(tmp_path / "img")
    report = ran(balance, BalanceOptions, folder=str(tmp_path / "img"), output_folder=str(tmp_path / "out"))
    # 12 of one: 5 pictures twice come nearest.
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"1_cats", "2_sks dog"}
    assert len(listed(tmp_path / "out")) == 17 and state(tmp_path / "img") == before
    assert "1_empty has no pictures in it" in report.said
    told = ran(balance, BalanceOptions, folder=str(tmp_path / "img"), showings=30)
    assert "sks dog: 6 x 5 = 30 showings" in told.said and "cats: 2 x 12 = 24 showings" in told.said
    with pytest.raises(BadOption, match="no folders of pictures"):
        ran(balance, BalanceOptions, folder=str(tmp_path / "img" / "cats"))


def test_when_nothing_can_be_read_that_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "a.png").write_bytes(np.zeros(9, dtype=np.uint8).tobytes())
    for work in (resized, grouped):
        with pytest.raises(NothingUsable, match="None of the 1 pictures could be"):
            work(tmp_path / "bad", tmp_path / "out")
