"""The benchmark of captioning and tagging runs, and takes from a script what it should."""

from dataclasses import replace

import numpy as np
import pytest
from PIL import Image

from benchmarks import tagging, tagging_models
from benchmarks.photographs import write_photographs
from benchmarks.rows import TOO_SHORT, Given
from benchmarks.tagging_bare import CASES as BARE
from sd_scripts.library.data.images import ORIENTATION_TAG


def test_both_sides_run_and_are_compared(tmp_path):
    given = Given("cpu", quick=True, rounds=1, room=tmp_path)
    write_photographs(tmp_path / "pictures", 8, [(320, 240)])
    case = tagging.CASES[0]
    model = case.make(tmp_path / "model", "tiny")
    cores = tagging._cores(given)[0]
    taken = tagging._takes(case, model, cores, given)
    assert len(list((tmp_path / "pictures").glob("*.txt"))) == 8
    cpu, wall = tagging._rows("wd14", taken, "cpu")
    assert cpu.bare > 0 and wall.bare > 0 and cpu.holds is not None
    assert "before the first picture" in wall.note
    assert tagging._rounds(case, replace(given, quick=False, rounds=5)) == 10
    rate = tagging._rows("wd14", taken, "cuda")[0]
    assert rate.unit == "pictures/s" and rate.bare >= tagging.PICTURES["cuda"] / wall.bare


# Keras asks PyTorch for arrays in NumPy's older way.
@pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
@pytest.mark.parametrize("case", tagging.CASES, ids=lambda case: case.what)
def test_the_bare_computation_takes_the_model_of_each_case(case, tmp_path):
    write_photographs(tmp_path / "pictures", 2, [(320, 240)])
    prepare, load = BARE[case.bare]
    model = case.make(tmp_path / "model", "tiny")
    if case.bare == "deepdanbooru":
        # Its first run makes the ONNX form, as in the benchmark.
        tagging._ours(case, model, tmp_path / "pictures")
    run = load(model, 1, "cpu")
    found = run(np.stack([prepare(path) for path in sorted((tmp_path / "pictures").glob("*_*.[jpw]*"))]))
    assert len(found[0] if case.bare in tagging_models.TAGS else found) == 2


def test_what_is_decoded_at_a_reduced_scale_lies_where_the_whole_does(tmp_path):
    write_photographs(tmp_path / "pictures", 4, [(1537, 1025)])
    rows = tagging.exactness(tmp_path / "pictures", tmp_path / "turned")
    orientations = []
    for path in sorted((tmp_path / "turned").iterdir()):
        with Image.open(path) as image:
            orientations.append(image.getexif()[ORIENTATION_TAG])
    assert orientations == [3, 6]
    assert [row.what.split()[1] for row in rows] == ["WD14:", "DeepDanbooru:"]
    assert all(row.ours > 0 and row.holds for row in rows), [row.ours for row in rows]


TALKATIVE = """
import json, os, sys
sys.stderr.write("a line that nobody reads\\n" * 10_000)
with open(os.environ["SD_SCRIPTS_EVENTS"], "a") as events:
    events.write(json.dumps({"event": "summary", "time": 1.0, "counts": {"pictures": 3}}) + "\\n")
sys.exit(int(sys.argv[1]))
"""


def test_a_script_may_say_much(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text(TALKATIVE)
    monkeypatch.setattr(tagging, "SCRIPTS", tmp_path)
    assert tagging.run_script("script.py", ["0"], tmp_path / "events.jsonl").counts == {"pictures": 3}
    with pytest.raises(SystemExit, match=r"ended with 3:\n(a line that nobody reads\n){10000}"):
        tagging.run_script("script.py", ["3"], tmp_path / "events.jsonl")


def test_a_script_ends_with_who_looks_on(tmp_path, monkeypatch):
    (tmp_path / "script.py").write_text("import time; time.sleep(600)")
    monkeypatch.setattr(tagging, "SCRIPTS", tmp_path)
    seen = []

    def interrupted(watched, lines):
        seen.append(watched)
        raise KeyboardInterrupt

    monkeypatch.setattr(tagging, "_moments", interrupted)
    with pytest.raises(KeyboardInterrupt):
        tagging.run_script("script.py", [], tmp_path / "events.jsonl")
    assert not seen[0].is_running()


def test_many_small_files(tmp_path):
    rows = tagging.many(Given("cpu", quick=True, rounds=1, room=tmp_path))
    assert [(row.what, row.unit) for row in rows] == [
        ("second run over 2,000, all described", "pictures/s"),
        ("2,000 small files seen: each", "us"),
        ("2,000 small files seen: memory above that of 500", "MiB"),
        ("40 small files described: each", "us"),
        ("40 small files described: memory above that of 10", "MiB"),
    ]
    assert all(row.note == TOO_SHORT if row.ours is None else row.ours > 0 for row in rows if row.unit != "MiB")
    assert tagging_models.TAGS["wd14"] == len((tmp_path / "tiny" / "selected_tags.csv").read_text().splitlines()) - 1
