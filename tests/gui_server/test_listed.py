"""What the page keeps of a metadata file tells what the whole file would, in a fraction of its memory."""

import tracemalloc
from pathlib import Path

from benchmarks.scale import made_entries
from kohya_gui.listed import Kind, listed
from sd_scripts.library.data.caption_rules import CaptionRules
from sd_scripts.library.io.metadata import read_metadata, write_entries

ENTRIES = {
    "a": {"caption": "a cat", "tags": "cat", "train_resolution": [512, 448]},
    "b": {"caption": " "},
    "c": {},
    "d": {"tags": "dog", "train_resolution": [512, 448]},
}


def test_kinds_are_counted_and_their_keys_found(tmp_path: Path) -> None:
    write_entries(tmp_path / "m.json", iter(ENTRIES.items()))
    found = listed(tmp_path / "m.json")
    assert (len(found), found.first, len(found.kinds)) == (4, "a", 3)
    assert found.kind("b") == Kind(has_text=True, trained=False, prepared_px=None)
    assert found.keys(lambda kind: kind.prepared_px == (512, 448)) == ["a", "d"]
    assert found.count(lambda kind: not kind.has_text) == 1
    assert [key for key, kind in found.of_kinds() if kind.trained] == ["a", "d"]


def test_texts_are_read_when_asked_for(tmp_path: Path) -> None:
    write_entries(tmp_path / "m.json", iter(ENTRIES.items()))
    found = listed(tmp_path / "m.json")
    assert list(found.texts(CaptionRules())) == ["a cat, cat", "dog"]
    (tmp_path / "m.json").unlink()
    assert list(found.texts(CaptionRules())) == []


def test_a_key_that_comes_twice_is_one_picture(tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text('{"a": {"caption": "first"}, "a": {}}')
    found = listed(tmp_path / "m.json")
    assert len(found) == 1 and not found.kind("a").has_text


def test_it_takes_a_fraction_of_the_memory(tmp_path: Path) -> None:
    write_entries(tmp_path / "m.json", made_entries(5_000))
    kept_bytes = []
    for read in (listed, read_metadata):
        tracemalloc.start()
        kept = read(tmp_path / "m.json")
        kept_bytes.append(tracemalloc.get_traced_memory()[0])
        tracemalloc.stop()
        assert len(kept) == 5_000
    assert kept_bytes[0] < kept_bytes[1] / 4
