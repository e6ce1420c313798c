"""Texts and names of every encoding, through the two merges and the cleaning."""

import json
import os
import sys
from pathlib import Path

import pytest

from tests.bad_input.runs import run
from tests.data.bad_pictures import write_named

TEXTS = {
    "bom": "\ufeffa cat\r\non a mat\r\n".encode(),
    "japanese": "猫、写真".encode("cp932"),
    "utf16": "犬".encode("utf-16"),
    "spaces": b"\xef\xbb\xbf \r\n",
    "nothing": b"",
    "no_text": b"\x81\xff\xfe\x00\xff",
}
READ = {"bom": "a cat\non a mat", "japanese": "猫、写真", "utf16": "犬"}
MERGES = {"merge_captions_to_metadata": ("caption", ".caption"), "merge_dd_tags_to_metadata": ("tags", ".txt")}


@pytest.mark.parametrize("script", MERGES)
def test_texts_are_decoded_and_what_cannot_be_is_listed(script: str, tmp_path: Path) -> None:
    field, ending = MERGES[script]
    for name, content in TEXTS.items():
        write_named(tmp_path / "pics", (f"{name}.png",))
        (tmp_path / "pics" / f"{name}{ending}").write_bytes(content)
    write_named(tmp_path / "pics", ("folder.png", "missing.png"))
    (tmp_path / "pics" / f"folder{ending}").mkdir()
    done = run(f"finetune/{script}.py", "pics", "o.json", cwd=tmp_path)
    assert done.code == 0, done.said
    found = json.loads((tmp_path / "o.json").read_text(encoding="utf-8"))
    assert found == {name: {field: text} for name, text in READ.items()}
    assert "3 of 8 pictures have text; 1 have no file; 2 have an empty one; 2 were not UTF-8" in done.said
    assert f"no_text{ending}: it is text in no known encoding" in done.said
    assert f"folder{ending}: it cannot be read" in done.said
    assert {name: (tmp_path / "pics" / f"{name}{ending}").read_bytes() for name in TEXTS} == TEXTS


def test_texts_of_which_none_can_be_read(tmp_path: Path) -> None:
    write_named(tmp_path / "pics", ("a.png",))
    (tmp_path / "pics" / "a.caption").write_bytes(TEXTS["no_text"])
    done = run("finetune/merge_captions_to_metadata.py", "pics", "o.json", cwd=tmp_path)
    assert done.code == 1
    assert "has a text. The first file, pics/a.caption: it is text in no known encoding" in done.last
    assert not (tmp_path / "o.json").exists()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere every file name is Unicode")
def test_a_file_name_that_is_no_unicode_goes_through_the_metadata(tmp_path: Path) -> None:
    (plain,) = write_named(tmp_path / "pics", ("a.png",))
    name = os.fsdecode(b"bad\xff")
    plain.rename(plain.with_name(f"{name}.png"))
    plain.with_name(f"{name}.caption").write_text("a woman")
    assert run("finetune/merge_captions_to_metadata.py", "pics", "o.json", cwd=tmp_path).code == 0
    assert run("finetune/clean_captions_and_tags.py", "o.json", "p.json", cwd=tmp_path).code == 0
    assert json.loads((tmp_path / "p.json").read_bytes()) == {name: {"caption": "a girl"}}
