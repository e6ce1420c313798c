"""A look at pictures: what is broken, how it is remembered, and that ten thousand keep nobody waiting."""

import os
import shutil
import time
from pathlib import Path

import pytest
from PIL import Image

from kohya_gui.checks import check
from kohya_gui.files import Roots
from kohya_gui.looking import Look, Looks, look_at
from kohya_gui.pictures import files_below, files_in, of_entries
from kohya_gui.project import Project
from kohya_gui.stages import STAGES

MANY = 10_000


@pytest.mark.parametrize("ending", [".png", ".jpg", ".webp"])
def test_a_picture_that_was_cut_off_is_broken(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"x{ending}"
    Image.effect_noise((64, 48), 90).convert("RGB").save(path)
    assert look_at(path) == Look((64, 48))
    path.write_bytes(path.read_bytes()[:-700])
    assert look_at(path).fault.startswith("it is broken")


def test_what_stands_behind_a_picture_does_not_matter(tmp_path: Path) -> None:
    path = tmp_path / "x.jpg"
    Image.new("RGB", (64, 48)).save(path)
    path.write_bytes(path.read_bytes() + bytes(9000))
    assert look_at(path) == Look((64, 48))


def test_empty_files_and_other_files_are_no_pictures(tmp_path: Path) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("a letter")
    assert look_at(tmp_path / "empty.png").fault == "the file is empty"
    assert "it is not a picture" in look_at(tmp_path / "text.png").fault


def test_a_picture_is_looked_at_once_and_again_when_it_changes(tmp_path: Path, monkeypatch) -> None:
    looked: list[Path] = []
    monkeypatch.setattr("kohya_gui.looking.look_at", lambda path: looked.append(path) or look_at(path))
    path, looks = tmp_path / "x.png", Looks()
    Image.new("RGB", (8, 8)).save(path)
    for _ in range(3):
        assert looks.of([path, tmp_path / "gone.png"], wait_s=10) == ({path: Look((8, 8))}, 0)
    assert looked == [path]
    Image.new("RGB", (16, 8)).save(path)
    os.utime(path, ns=(1, 1))
    assert looks.of([path], wait_s=10) == ({path: Look((16, 8))}, 0)


def test_keys_lead_to_their_pictures(tmp_path: Path) -> None:
    for name in ("a.png", "b.c.jpg", "notes.txt", ".hidden.png"):
        (tmp_path / name).touch()
    (tmp_path / "below").mkdir()
    (tmp_path / "below" / "d.png").touch()
    assert [path.name for path in files_in(tmp_path)] == ["a.png", "b.c.jpg"]
    assert files_below(tmp_path) == [tmp_path / "below" / "d.png"]
    full = str(tmp_path / "below" / "d.png")
    found = of_entries(["a", "b.c", "gone", full, "b.c.jpg"], tmp_path)
    assert {key: path.name for key, path in found.items()} == {
        "a": "a.png", "b.c": "b.c.jpg", "b.c.jpg": "b.c.jpg", full: "d.png",
    }  # fmt: skip


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """A folder of ten thousand pictures, all links to one; gone again afterwards."""
    folder = tmp_path_factory.mktemp("many") / "pics"
    folder.mkdir()
    first = folder / "00000.png"
    Image.new("RGB", (64, 64)).save(first)
    for i in range(1, MANY):
        os.link(first, folder / f"{i:05}.png")
    yield folder
    shutil.rmtree(folder)


def test_ten_thousand_pictures_keep_nobody_waiting(many: Path) -> None:
    def look():
        # What this thread works, not what others do to the machine meanwhile.
        begun = time.thread_time()
        checked = check(STAGES["tag_wd14"], {"train_data_dir": str(many)}, Project(), Roots([many]))
        return checked, time.thread_time() - begun

    checked, took_s = look()
    (progress,) = [one for one in checked.findings if one.key == "check.looking"]
    assert checked.pending and progress.text.endswith("of 10,000.") and took_s < 2
    deadline = time.monotonic() + 60
    while checked.pending:
        assert time.monotonic() < deadline
        checked, took_s = look()
        assert took_s < 2
    assert not checked.blocks(confirmed=False)
    # Once they are known, nothing waits for them any more.
    assert look()[1] < 2
