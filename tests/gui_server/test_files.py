"""The roots hold against every way around them."""

import os
import time

import pytest
from PIL import Image

from kohya_gui import pictures
from kohya_gui.files import Roots, bare
from kohya_gui.project import Project
from sd_scripts.library.errors import BadOption


@pytest.fixture
def home(tmp_path):
    (tmp_path / "home" / "pics").mkdir(parents=True)
    (tmp_path / "secret").mkdir()
    Image.new("RGB", (4, 4)).save(tmp_path / "home" / "pics" / "a.png")
    Image.new("RGB", (4, 4)).save(tmp_path / "secret" / "s.png")
    (tmp_path / "home" / "note.txt").write_text("x")
    os.symlink(tmp_path / "secret", tmp_path / "home" / "link")
    os.symlink(tmp_path / "secret" / "s.png", tmp_path / "home" / "innocent.png")
    return tmp_path / "home"


@pytest.mark.parametrize(
    "path",
    [
        "../secret/s.png",
        "pics/../../secret/s.png",
        "link/s.png",
        "innocent.png",
        "/etc/passwd",
        "note.txt",
        "pics",
        "a\0.png",
    ],
)
def test_what_lies_outside_or_is_no_picture_is_not_served(home, path):
    with pytest.raises(BadOption):
        Roots([home]).image(os.path.join(home, path))


def test_pictures_inside_are_served(home):
    assert Roots([home]).image(str(home / "pics" / ".." / "pics" / "a.png")) == (home / "pics" / "a.png").resolve()


@pytest.mark.parametrize("copied", ['"{}"', "'{}'", '  "{}" ', " {} "])
def test_a_path_may_come_with_the_quotes_it_was_copied_with(home, copied):
    folder = str(home / "pics")
    assert Roots([home]).browse(copied.format(folder), "pictures")["path"] == folder
    project = Project.from_json({"pictures": [copied.format(folder)], "work_dir": copied.format(folder)})
    assert (project.pictures, project.work_dir) == ([folder], folder)


def test_quotes_inside_a_path_are_its_own():
    assert bare('it\'s "here"') == 'it\'s "here"'
    assert bare('"') == '"'


def test_a_root_is_no_prefix_of_names(tmp_path, home):
    (tmp_path / "home2").mkdir()
    with pytest.raises(BadOption):
        Roots([home]).inside(str(tmp_path / "home2"), "x")


def test_browsing_shows_what_a_kind_may_be(home):
    roots = Roots([home])
    seen = roots.browse(str(home), "pictures")
    assert (seen["parent"], seen["folders"]) == (None, ["link", "pics"])
    pics = roots.browse(str(home / "pics" / "a.png"), "pictures")
    assert (pics["path"], pics["parent"], pics["found"]) == (str(home / "pics"), str(home), "1 image")
    assert [f["name"] for f in pics["files"]] == ["a.png"]
    assert roots.browse(str(home), "folder")["files"] == []
    assert [f["name"] for f in roots.browse(str(home), "file")["files"]] == ["innocent.png", "note.txt"]
    with pytest.raises(BadOption):
        roots.browse(str(home / "link"), "folder")
    with pytest.raises(BadOption):
        roots.browse("/", "folder")


def test_what_changed_just_now_is_seen_even_where_times_are_coarse(home):
    folder = home / "coarse"
    folder.mkdir()
    Image.new("RGB", (8, 8)).save(folder / "a.png")
    now = time.time()
    os.utime(folder, (now, now))
    assert pictures.facts_of(folder).texts[".txt"] == 0
    (folder / "a.txt").write_text("a tag")
    os.utime(folder, (now, now))
    assert pictures.facts_of(folder).texts[".txt"] == 1


def test_pictures_that_come_into_a_folder_below_are_counted(home):
    below = home / "outer" / "inner"
    below.mkdir(parents=True)
    for n in (1, 2):
        Image.new("RGB", (8, 8)).save(below / f"{n}.png")
        assert pictures.facts_of(home / "outer").below == n
