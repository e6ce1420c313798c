"""edit_captions.py: many texts at once, whatever their encoding, and never without a copy of what was there."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sd_scripts.library.data.caption_edits import BACKUPS, edit_captions, edited
from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.options.picture_tools import EditCaptionsOptions, EditCaptionTextOptions
from tests.tools.conftest import listed, picture, ran

HELD = {
    "utf8": b"cat, sks, hat\n",
    "bom": "\ufeffcat".encode(),
    "sjis": "猫, 帽子".encode("cp932"),
    "utf16": "犬\n鳥".encode("utf-16"),
    "broken": b"\x80\xff\x81",
    "empty": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A picture and a text of each kind, and a picture without any."""
    for stem, data in HELD.items():
        picture(tmp_path / "all" / f"{stem}.png", (8, 8))
        (tmp_path / "all" / f"{stem}.txt").write_bytes(data)
    picture(tmp_path / "all" / "none.png", (8, 8))
    return tmp_path / "all"


def changed(folder: Path, **flags: Any) -> Any:
    return ran(edit_captions, EditCaptionsOptions, folder=str(folder), **flags)


def texts(folder: Path) -> dict[str, str]:
    return {path.stem: path.read_bytes().decode("utf-8") for path in sorted(folder.glob("*.txt"))}


def test_texts_of_every_encoding_are_changed_into_another_folder(folder: Path, tmp_path: Path) -> None:
    report = changed(folder, output_folder=str(tmp_path / "out"), trigger_word="sks", text_for_missing="thing")
    expected = {
        "utf8": "sks, cat, hat\n",
        "bom": "sks, cat\n",
        "sjis": "sks, 猫, 帽子\n",
        "utf16": "sks, 犬\nsks, 鳥\n",
        "empty": "sks, thing\n",
        "none": "sks, thing\n",
    }
    assert texts(tmp_path / "out") == expected
    assert {path.stem: path.read_bytes() for path in folder.glob("*.txt")} == HELD
    assert report.failures == [(str(folder / "broken.txt"), "it is text in no known encoding; save it as UTF-8")]
    assert "2 were not UTF-8 and were decoded" in report.said


def test_in_place_keeps_what_was_there_byte_for_byte_and_is_the_same_twice(folder: Path) -> None:
    flags: dict[str, Any] = {"in_place": True, "trigger_word": "sks", "prefix": "photo of ", "suffix": ", hq"}
    changed(folder, **flags)
    after = {path.name: path.read_bytes() for path in folder.glob("*.txt")}
    assert after["utf8.txt"] == b"photo of sks, cat, hat, hq\n"
    assert after["broken.txt"] == HELD["broken"] and after["empty.txt"] == b""
    (backup,) = (folder / BACKUPS).iterdir()
    assert {name: (backup / name).read_bytes() for name in listed(backup)} == {
        f"{stem}.txt": HELD[stem] for stem in ("utf8", "bom", "sjis", "utf16")
    }
    report = changed(folder, **flags)
    assert {path.name: path.read_bytes() for path in folder.glob("*.txt")} == after
    assert "0 of 4 texts" in report.said and len(list((folder / BACKUPS).iterdir())) == 1
    assert BACKUPS not in {path.parent.name for path in find_images(folder, recursive=True)}


def test_folders_below_keep_their_places(tmp_path: Path) -> None:
    for place in ("a", "b"):
        picture(tmp_path / "all" / place / "x.png", (8, 8))
        (tmp_path / "all" / place / "x.caption").write_text(f"{place} dog", encoding="utf-8")
    flags: dict[str, Any] = {"recursive": True, "caption_extension": "caption", "find": "dog", "replace": "cat"}
    changed(tmp_path / "all", output_folder=str(tmp_path / "out"), **flags)
    assert (tmp_path / "out" / "a" / "x.caption").read_text(encoding="utf-8") == "a cat\n"
    assert listed(tmp_path / "out") == ["a/x.caption", "b/x.caption"]
    again = changed(tmp_path / "all", output_folder=str(tmp_path / "out"), add_to_existing=True, **flags)
    assert len(again.failures) == 2


WORDS = st.text(alphabet="ab, ", max_size=8)


@settings(max_examples=60, deadline=None)
@given(text=WORDS, trigger=st.sampled_from(["a", "ab, b", None]), prefix=WORDS, suffix=WORDS)
def test_a_second_time_changes_nothing(text: str, trigger: str | None, prefix: str, suffix: str) -> None:
    wanted = EditCaptionTextOptions(trigger_word=trigger, prefix=prefix or None, suffix=suffix or None)
    once = edited(text.strip(), wanted)
    assert edited(once, wanted) == once


@pytest.mark.parametrize(
    ("flags", "says"),
    [
        ({"in_place": True}, "Nothing is asked for"),
        ({"prefix": "a"}, "Name --output_folder"),
        ({"prefix": "a", "in_place": True, "output_folder": "x"}, "--output_folder and --in_place exclude each other"),
        ({"in_place": True, "prefix": "a", "replace": "b"}, "--find, which is missing"),
        ({"in_place": True, "trigger_word": " , "}, "has no word in it"),
        ({"in_place": True, "prefix": "a", "caption_extension": ".png"}, "cannot be the ending of a text file"),
    ],
)
def test_what_cannot_be_done_is_said(folder: Path, flags: Any, says: str) -> None:
    with pytest.raises(BadOption, match=says):
        changed(folder, **flags)
    assert {path.stem: path.read_bytes() for path in folder.glob("*.txt")} == HELD


def test_a_folder_without_texts_is_an_error(folder: Path) -> None:
    with pytest.raises(NothingUsable, match="None of the 7 pictures"):
        changed(folder, in_place=True, prefix="a", caption_extension=".caption")
