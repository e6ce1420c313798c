"""The index of what earlier runs found out about files: when it is believed, when not, and where it lies."""

import json
import os
import shutil
from pathlib import Path

import pytest

from sd_scripts.library.data import known_files
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.known_files import INDEX, KnownFiles, content_hash, question, stamp_of
from tests.data.bad_pictures import write_named

LONG_AGO_NS = 10**18
ASKED = question("latents", (64, 64))


def aged(*files: Path) -> None:
    for file in files:
        os.utime(file, ns=(LONG_AGO_NS, LONG_AGO_NS))


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A picture and its cache file, both old, of which everything is known."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "home"))
    place = tmp_path / "pics"
    (picture,) = write_named(place, ("a.png",))
    (place / "a.npz").write_bytes(b"latents")
    aged(picture, place / "a.npz")
    look(place)
    return place


def look(place: Path) -> str:
    """Finds out about the picture and notes the cache file; gives the picture's hash."""
    known = KnownFiles()
    known.size_of(place / "a.png")
    found = known.hash_of(place / "a.png")
    known.note(place / "a.npz", stamp_of(place / "a.npz"), ASKED)
    known.keep()
    return found


def believed(place: Path, name: str = "a") -> tuple[bool, bool]:
    """Whether the picture's hash, and the cache file's answer, are known without opening them."""
    known = KnownFiles()
    return bool(known.known_hash(place / f"{name}.png")), known.answers(place / f"{name}.npz", ASKED)


def test_what_has_not_changed_is_known_without_being_opened(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert believed(folder) == (True, True)
    assert not KnownFiles().answers(folder / "a.npz", question("latents", (96, 64)))

    def never(*_args: object) -> None:
        raise AssertionError("a picture was opened")

    monkeypatch.setattr(known_files, "image_size", never)
    monkeypatch.setattr(
        known_files, "content_hash", lambda data: never() if data[1:4] == b"PNG" else content_hash(data)
    )
    known = KnownFiles()
    assert known.size_of(folder / "a.png") == (96, 64)
    assert len(known.hash_of(folder / "a.png")) == 32


def test_a_picture_that_is_not_there_has_no_size(tmp_path: Path) -> None:
    with pytest.raises(UnreadableImage, match="not there"):
        KnownFiles().size_of(tmp_path / "gone.png")


@pytest.mark.parametrize("change", ["size", "time"])
def test_what_has_changed_is_looked_at_again(folder: Path, change: str) -> None:
    before = KnownFiles().hash_of(folder / "a.png")
    for file in (folder / "a.png", folder / "a.npz"):
        if change == "size":
            file.write_bytes(file.read_bytes() + b" ")
            aged(file)
        else:
            os.utime(file, ns=(LONG_AGO_NS, LONG_AGO_NS + 1))
    assert believed(folder) == (False, False)
    # Merely touched: the content is the same, and known again.
    assert (look(folder) == before) == (change == "time")
    assert believed(folder) == (True, True)


def test_another_content_of_the_same_size_and_time_is_seen_only_by_verifying(folder: Path) -> None:
    picture = folder / "a.png"
    picture.write_bytes(bytes(reversed(picture.read_bytes())))
    aged(picture)
    new = content_hash(picture.read_bytes())
    assert KnownFiles().hash_of(picture) != new
    verifying = KnownFiles(trusting=False)
    assert not verifying.answers(folder / "a.npz", ASKED)
    assert verifying.hash_of(picture) == new
    verifying.keep()
    assert KnownFiles().hash_of(picture) == new


def test_what_changed_just_now_is_not_kept_for_later(folder: Path) -> None:
    """A second change within the same moment would look the same."""
    os.utime(folder / "a.png")
    os.utime(folder / "a.npz")
    look(folder)
    assert believed(folder) == (False, False)
    # What this run writes itself is known, and so is what it found in it before.
    known = KnownFiles()
    other = question("latents", (32, 32))
    known.note(folder / "a.npz", stamp_of(folder / "a.npz"), other)
    (folder / "a.npz").write_bytes(b"more latents")
    known.note_written(folder / "a.npz", ASKED)
    known.keep()
    assert believed(folder) == (False, True)
    assert KnownFiles().answers(folder / "a.npz", other)


@pytest.mark.parametrize(
    "damaged",
    [b"", b"{", b"[]", b"\xff\xfe", b'{"version": 9, "files": {}}', b'{"version": 1, "files": {"a.png": 3}}',
     b'{"version": 1, "files": []}', b"[" * 100_000],
)  # fmt: skip
def test_a_damaged_index_is_ignored_and_written_anew(folder: Path, damaged: bytes) -> None:
    (folder / INDEX).write_bytes(damaged)
    assert believed(folder) == (False, False)
    look(folder)
    assert believed(folder) == (True, True)


def test_a_line_that_makes_no_sense_counts_as_nothing(folder: Path) -> None:
    index = json.loads((folder / INDEX).read_text())
    stamp = stamp_of(folder / "a.png")
    for words in ("", "96", "96 64", "x y z", "96 -64 ab", "96 64 ab cd"):
        (folder / INDEX).write_text(json.dumps(index | {"files": {"a.png": f"{stamp} {words}"}}))
        assert KnownFiles().known_hash(folder / "a.png") == ""


def test_it_goes_where_the_folder_goes(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    folder.rename(tmp_path / "elsewhere")
    assert believed(tmp_path / "copy") == believed(tmp_path / "elsewhere") == (True, True)


def test_where_nothing_can_be_written_it_lies_with_the_users_data(folder: Path, tmp_path: Path) -> None:
    (folder / INDEX).unlink()
    (folder / INDEX).mkdir()
    look(folder)
    assert believed(folder) == (True, True)
    assert len(list((tmp_path / "home").rglob("*.json"))) == 1


def test_several_processes_add_to_it_and_what_is_gone_goes(folder: Path) -> None:
    write_named(folder, ("b.png",))
    aged(folder / "b.png")
    one, other = KnownFiles(), KnownFiles()
    assert not one.known_hash(folder / "b.png")
    (folder / "a.npz").write_bytes(b"x")
    other.note_written(folder / "a.npz", ASKED)
    one.hash_of(folder / "b.png")
    other.keep()
    one.keep()
    assert KnownFiles().known_hash(folder / "b.png") and KnownFiles().answers(folder / "a.npz", ASKED)
    (folder / "a.png").rename(folder / "c.png")
    KnownFiles().hash_of(folder / "c.png")
    known = KnownFiles()
    known.hash_of(folder / "c.png")
    known.keep()
    assert sorted(json.loads((folder / INDEX).read_text())["files"]) == ["a.npz", "b.png", "c.png"]


def test_folders_in_which_nothing_is_cached_are_left_alone(tmp_path: Path) -> None:
    (picture,) = write_named(tmp_path, ("a.png",))
    aged(picture)
    known = KnownFiles()
    known.hash_of(picture)
    known.keep()
    assert [file.name for file in tmp_path.iterdir()] == ["a.png"]


def test_a_name_that_is_no_text_is_kept_too(folder: Path) -> None:
    if os.name == "nt":
        pytest.skip("names are text there")
    odd = Path(os.fsdecode(os.fsencode(folder) + b"/\xff.npz"))
    odd.write_bytes(b"x")
    known = KnownFiles()
    known.note_written(odd, ASKED)
    known.keep()
    assert KnownFiles().answers(odd, ASKED)
