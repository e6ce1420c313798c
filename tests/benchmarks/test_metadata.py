"""The benchmark of metadata runs as a whole, and both sides of each comparison write the same."""

import json
from pathlib import Path

from benchmarks import metadata
from benchmarks.processes import cost_of
from benchmarks.rows import TOO_SHORT, Given
from sd_scripts.library.io.metadata import write_entries


def test_every_row_has_what_it_is_compared_with(tmp_path: Path) -> None:
    rows = metadata.measure(Given("cpu", True, 1, tmp_path))
    assert len(rows) == 10
    grown = [row for row in rows if row.what.endswith("entries: each")]
    assert [row.what.split()[0] for row in grown] == ["clean", "merge"]
    # So few entries may take less than chance does.
    assert all((row.ours or 0) > 0 and row.bare or row.note == TOO_SHORT and row in grown for row in rows)
    assert [row.what for row in rows if row.goal is None] == ["clean, beside a mere copy"]


def test_the_bare_programs_write_what_ours_write(tmp_path: Path) -> None:
    metadata.make_pictures(tmp_path / "pictures", 3)
    before, ours, bare = (tmp_path / f"{name}.json" for name in ("before", "ours", "bare"))
    write_entries(before, metadata.made_entries(300))
    merging = [tmp_path / "pictures", ours, "--in_json", before]
    pairs = [
        ([metadata.CLEAN, before, ours], ["clean", before, bare]),
        ([metadata.CAPTIONS, *merging], ["merge", tmp_path / "pictures", ".caption", "caption", before, bare]),
    ]
    for our_argv, bare_argv in pairs:
        cost_of(our_argv)
        cost_of([metadata.BARE, *bare_argv])
        assert ours.read_bytes() == bare.read_bytes()
        assert json.loads(ours.read_bytes()) != json.loads(before.read_bytes())
