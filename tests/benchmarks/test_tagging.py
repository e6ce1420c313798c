"""The benchmark of captioning and tagging runs, and takes from a script what it should."""

import numpy as np
import pytest

from benchmarks import tagging, tagging_models
from benchmarks.photographs import write_photographs
from benchmarks.rows import Given
from benchmarks.tagging_bare import CASES as BARE


def test_both_sides_run_and_are_compared(tmp_path):
    given = Given("cpu", quick=True, rounds=1, room=tmp_path)
    write_photographs(tmp_path / "pictures", 8, [(320, 240)])
    case = tagging.CASES[0]
    model = case.make(tmp_path / "model", "tiny")
    cores = tagging._cores(case, given)[0]
    taken = tagging._takes(case, model, cores, given)
    assert len(list((tmp_path / "pictures").glob("*.txt"))) == 8
    cpu, wall = tagging._rows("wd14", taken, "cpu")
    assert cpu.bare > 0 and wall.bare > 0 and cpu.holds is not None
    assert "before the first picture" in wall.note
    rate = tagging._rows("wd14", taken, "cuda")[0]
    assert rate.unit == "pictures/s" and rate.bare >= tagging.PICTURES["cuda"] / wall.bare


# Keras asks PyTorch for arrays in NumPy's older way.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("case", tagging.CASES, ids=lambda case: case.what)
def test_the_bare_computation_takes_the_model_of_each_case(case, tmp_path):
    write_photographs(tmp_path / "pictures", 2, [(320, 240)])
    prepare, load = BARE[case.bare]
    run = load(case.make(tmp_path / "model", "tiny"), 1, "cpu")
    found = run(np.stack([prepare(path) for path in sorted((tmp_path / "pictures").iterdir())]))
    assert len(found[0] if case.bare == "wd14" else found) == 2


def test_many_small_files(tmp_path):
    rows = tagging.many(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert [row.unit for row in rows] == ["pictures/s", "us", "MiB", "us", "MiB"]
    assert all(row.ours > 0 for row in rows if row.unit != "MiB")
    assert tagging_models.TAGS["wd14"] == len((tmp_path / "tiny" / "selected_tags.csv").read_text().splitlines()) - 1
