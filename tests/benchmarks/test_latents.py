"""The benchmark of latents measures what it says; how fast it is on this machine is not looked at."""

from pathlib import Path

from benchmarks.latents import OURS, measure
from benchmarks.photographs import KINDS, write_photographs
from benchmarks.rows import Given
from sd_scripts.library.data.images import image_size


def test_its_rows_hold_ours_and_the_bare_parts(tmp_path: Path) -> None:
    rows = measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    for way, (clock, cores, start) in zip(OURS, (rows[:3], rows[3:]), strict=True):
        assert clock.what.startswith(way) and clock.bare and cores.bare and clock.goal and cores.goal
        assert "16 pictures" in clock.note and "decoding alone" in clock.note
        assert start.ours > 0 and start.goal is None
    # Nothing that was made stays: the next round begins anew.
    assert not list((tmp_path / "photos").glob("*.npz"))


def test_photographs_have_all_kinds_and_as_many_as_asked(tmp_path: Path) -> None:
    made = write_photographs(tmp_path / "some", 6, [(48, 32)])
    assert len(made) == 6 and {path.name.partition("_")[2] for path in made[-4:]} == set(KINDS)
    assert {image_size(path) for path in made} == {(48, 32)}
    assert len({path.stem for path in made}) == 6
    assert len(write_photographs(tmp_path / "few", 2, [(48, 32)])) == 2
