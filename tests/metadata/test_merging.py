"""merge_captions_to_metadata.py and merge_dd_tags_to_metadata.py, run as their users run them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

SCRIPTS = Path(__file__).parents[2] / "sd_scripts" / "finetune"


def run(script: str, *argv: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, SCRIPTS / f"{script}.py", *argv]
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, encoding="utf-8", cwd=cwd)


def picture(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (8, 8)).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("a.png", "b.JPG", "it's $(x) 猫 😀.webp"):
        picture(tmp_path / "pics" / name)
    return tmp_path / "pics"


def test_texts_become_metadata_whatever_their_encoding(folder: Path) -> None:
    (folder / "a.caption").write_bytes("\ufeffa cat\r\non a mat \r\n".encode())
    (folder / "b.caption").write_bytes("日本語".encode("cp932"))
    (folder / "it's $(x) 猫 😀.caption").write_text("three", encoding="utf-8")
    done = run("merge_captions_to_metadata", folder, folder / "meta.json")
    assert done.returncode == 0, done.stderr
    assert "1 were not UTF-8" in done.stderr
    text = (folder / "meta.json").read_text(encoding="utf-8")
    assert json.loads(text) == {
        "a": {"caption": "a cat\non a mat"},
        "b": {"caption": "日本語"},
        "it's $(x) 猫 😀": {"caption": "three"},
    }
    assert "日本語" in text and '  "a": {' in text


def test_missing_and_empty_texts_are_counted(folder: Path) -> None:
    (folder / "a.txt").write_text("1girl, long_hair", encoding="utf-8")
    (folder / "b.txt").write_text(" \n", encoding="utf-8")
    done = run("merge_dd_tags_to_metadata", folder, folder / "meta.json")
    assert done.returncode == 0
    assert "1 of 3 pictures have text; 1 have no file; 1 have an empty one" in done.stderr
    assert json.loads((folder / "meta.json").read_text()) == {"a": {"tags": "1girl, long_hair"}}


def test_tags_join_captions_and_an_existing_output_is_extended(folder: Path) -> None:
    (folder / "a.caption").write_text("a cat")
    (folder / "a.txt").write_text("cat, mat")
    run("merge_captions_to_metadata", folder, folder / "meta.json")
    done = run("merge_dd_tags_to_metadata", folder, folder / "meta.json")
    assert "Extending" in done.stderr
    assert json.loads((folder / "meta.json").read_text()) == {"a": {"caption": "a cat", "tags": "cat, mat"}}


def test_two_folders_are_chained_by_full_path(tmp_path: Path) -> None:
    for name in ("one", "two"):
        picture(tmp_path / name / "same.png").with_suffix(".caption").write_text(f"in {name}")
    first = run("merge_captions_to_metadata", "--full_path", "one", "m1.json", cwd=tmp_path)
    second = run("merge_captions_to_metadata", "--full_path", "--in_json", "m1.json", "two", "m2.json", cwd=tmp_path)
    assert first.returncode == second.returncode == 0
    assert json.loads((tmp_path / "m2.json").read_text()) == {
        str(tmp_path / "one" / "same.png"): {"caption": "in one"},
        str(tmp_path / "two" / "same.png"): {"caption": "in two"},
    }


def test_folders_within_folders(tmp_path: Path) -> None:
    picture(tmp_path / "pics" / "deep" / "a.png").with_suffix(".caption").write_text("deep")
    done = run("merge_captions_to_metadata", tmp_path / "pics", tmp_path / "m.json", "--recursive", "--full_path")
    assert list(json.loads((tmp_path / "m.json").read_text())) == [str(tmp_path / "pics" / "deep" / "a.png")]
    assert done.returncode == 0


def test_what_cannot_be_used_is_said_in_one_sentence(folder: Path) -> None:
    (folder / "a.txt").write_text("tags")
    broken = folder / "broken.json"
    broken.write_text('{"a": ')
    listed = folder / "list.json"
    listed.write_text("[1]")
    stems = folder / "stems.json"
    stems.write_text('{"a": {}}')
    out = folder / "out.json"
    merge = "merge_captions_to_metadata"
    cases = [
        ((folder / "none", out), 2, "there is no folder of that name"),
        ((folder / "a.png", out), 2, "there is a file, not a folder of that name"),
        ((folder, out), 1, "There are .txt files: try --caption_extension .txt"),
        ((folder, out, "--caption_extension", ".png"), 2, "cannot be the ending of a text file"),
        ((folder, out, "--in_json", broken), 2, "broken JSON at line 1"),
        ((folder, out, "--in_json", listed), 2, "holds a JSON list"),
        ((folder, out, "--in_json", folder / "no.json"), 2, "there is no such file"),
        ((folder, out, "--in_json", stems, "--full_path"), 2, "names pictures by stem"),
        ((folder, out, "--recursive"), 2, "--recursive needs --full_path"),
    ]
    for argv, code, sentence in cases:
        done = run(merge, *argv)
        assert done.returncode == code, (argv, done.stderr)
        assert sentence in done.stderr.splitlines()[-1], done.stderr
        assert "Traceback" not in done.stderr
    assert not out.exists()


def test_two_pictures_of_one_name_are_refused(folder: Path) -> None:
    picture(folder / "a.jpg")
    (folder / "a.caption").write_text("x")
    for extra in ([], ["--full_path"]):
        done = run("merge_captions_to_metadata", folder, folder / "m.json", *extra)
        assert done.returncode == 2
        assert f"{folder / 'a.jpg'} and {folder / 'a.png'} would share one entry" in done.stderr


def test_an_empty_folder_tells_of_pictures_below(tmp_path: Path) -> None:
    picture(tmp_path / "sub" / "a.png")
    done = run("merge_captions_to_metadata", tmp_path, tmp_path / "m.json")
    assert "no pictures here, but 1 in folders below. Add --recursive" in done.stderr


def test_an_unwritable_output_leaves_nothing(folder: Path) -> None:
    (folder / "a.caption").write_text("x")
    (folder / "file").write_text("in the way")
    done = run("merge_captions_to_metadata", folder, folder / "file" / "m.json")
    assert done.returncode == 2
    assert "Cannot write" in done.stderr and "Traceback" not in done.stderr
    assert not list(folder.glob(".*"))
