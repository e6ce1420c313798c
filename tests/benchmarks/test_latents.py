"""The benchmark of latents measures what it says; how fast it is on this machine is not looked at."""

from pathlib import Path

import pytest

from benchmarks.latents import OURS, Round, Took, _cpu_rows, _gpu_rows, measure
from benchmarks.photographs import KINDS, noise_pictures, write_photographs
from benchmarks.rows import TOO_SHORT, Given, table
from sd_scripts.library.data.images import image_size


def test_its_rows_hold_ours_and_the_bare_parts(tmp_path: Path) -> None:
    rows = measure(Given("cpu", quick=True, rounds=1, room=tmp_path))
    for way, (clock, cores, start) in zip(OURS, (rows[:3], rows[3:]), strict=True):
        assert clock.what.startswith(way) and clock.bare and cores.bare and clock.goal and cores.goal
        for row in (clock, cores):
            if row.ours is None:
                assert row.note == TOO_SHORT and row.ratio is None
            else:
                assert row.ours > 0 and row.ratio > 0 and "16 pictures" in row.note and "decoding alone" in row.note
        assert start.ours > 0 and start.goal is None
    # Nothing that was made stays: the next round begins anew.
    assert not list((tmp_path / "photos").glob("*.npz"))


def test_photographs_have_all_kinds_and_as_many_as_asked(tmp_path: Path) -> None:
    made = write_photographs(tmp_path / "some", 6, [(48, 32)])
    assert len(made) == 6 and {path.name.partition("_")[2] for path in made[-4:]} == set(KINDS)
    assert {image_size(path) for path in made} == {(48, 32)}
    assert len({path.stem for path in made}) == 6
    assert len(write_photographs(tmp_path / "few", 2, [(48, 32)])) == 2


def test_what_chance_leaves_of_a_start_is_no_figure() -> None:
    start = {way: Took(2.0, 2.0) for way in OURS}
    rounds = [Round(Took(0.1, 0.1), Took(0.1, 0.1), start, {way: Took(1.9, 2.3) for way in OURS})]
    way = next(iter(OURS))
    clock, cores, _ = _cpu_rows(rounds, way, way, "16 pictures")
    assert (clock.ours, clock.ratio, clock.note, clock.holds) == (None, None, TOO_SHORT, False)
    assert cores.ours == pytest.approx(0.3) and cores.ratio == pytest.approx(1.5)
    assert _gpu_rows(rounds, way, 16, way, "16 pictures")[0].ours is None
    assert "-" not in table([clock]).splitlines()[2]


def test_pictures_of_noise_are_made_by_number(tmp_path: Path) -> None:
    made = noise_pictures(tmp_path / "some", 11, 32, ".jpg", grain_px=4)
    assert [path.name for path in made] == [f"{number}.jpg" for number in range(11)]
    assert {image_size(path) for path in made} == {(32, 32)}
