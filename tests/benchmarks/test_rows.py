"""What the benchmarks say of their figures, and that what they are asked for reaches them."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import __main__ as every_stage
from benchmarks import stopping
from benchmarks.alternating import alternating
from benchmarks.models import make_model
from benchmarks.rows import Given, Row, as_json, at_least, at_most, json_file, table, tell, within
from benchmarks.stopping import REPOSITORY, stoppable
from sd_scripts.library.models import sd, sdxl


@pytest.mark.parametrize(
    ("row", "holds"),
    [
        (Row("a", "s", 1.02, 1.0, at_most(1.03)), True),
        (Row("a", "s", 1.04, 1.0, at_most(1.03)), False),
        (Row("a", "1/s", 0.94, 1.0, at_least(0.95)), False),
        (Row("a", "s", 0.4, None, at_most(0.5, of="value")), True),
        (Row("a", "s", 2.0, 1.0, at_most(1.5), measured_ratio=1.4), True),
        (Row("a", "GB", 1.0, 1.09, within(1.1)), True),
        (Row("a", "GB", 1.0, 1.11, within(1.1)), False),
        (Row("a", "GB", 1.11, 1.0, within(1.1)), False),
        (Row("a", "s", 2.0, 1.0), None),
    ],
)
def test_a_goal_is_for_the_ratio_or_for_the_figure(row, holds):
    assert row.holds is holds
    assert ("MISSED" in table([row])) is (holds is False)


def test_a_goal_for_a_ratio_is_missed_without_anything_to_compare():
    assert Row("a", "s", 1.0, None, at_most(1.03)).holds is False


@pytest.mark.parametrize(
    ("row", "said"),
    [
        (Row("a", "s", 1.01, 1.0, note="of all", measured_ratio=0.98), "of all; median of pairs"),
        (Row("a", "s", 1.04, 1.0, at_most(1.03), measured_ratio=1.02), "median of pairs"),
        (Row("a", "s", 1.02, 1.0, at_most(1.03), "of all", measured_ratio=1.01), "of all"),
        (Row("a", "s", 1.5, 1.0, at_most(2.0, of="value"), measured_ratio=1.4), ""),
        (Row("a", "s", 1.5, None, measured_ratio=0.9), ""),
        (Row("a", "s", 0.5, 1.0), ""),
    ],
)
def test_a_ratio_that_its_figures_contradict_is_explained(row, said):
    assert row.said == said == as_json(row, judged=True)["note"]
    assert table([row]).endswith(f"| {said} |")


def test_what_could_not_be_measured_is_an_empty_cell_and_null():
    row = Row("a", "s", None, 1.0, at_most(1.03), "the compiler fails")
    assert row.ratio is None and row.holds is False
    assert table([row], judged=False).splitlines()[2] == "| a |  | 1 s |  | at most 1.03x |  | the compiler fails |"
    told = json.dumps(as_json(row, judged=True), allow_nan=False)
    assert json.loads(told)["ours"] is None


def test_a_table_names_its_columns(tmp_path, capsys):
    file = tmp_path / "figures.json"
    assert tell([Row("a", "GB", 1.0, 2.0)], {}, file, columns=("expected", "measured")) == 0
    assert "| | expected | measured | ratio |" in capsys.readouterr().out
    assert json.loads(file.read_bytes())["columns"] == ["expected", "measured"]


def test_of_what_was_only_tried_no_goal_is_judged(capsys):
    assert tell([Row("a", "s", 2.0, 1.0, at_most(1.03))], {}, None, judged=False) == 0
    said = capsys.readouterr().out
    assert "no goal was judged" in said and "MISSED" not in said and "holds" not in said


def test_what_a_user_can_mend_is_one_sentence(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(stopping.systems, "hear_stops", lambda handler: None)
    (tmp_path / "file").write_text("")
    assert stoppable(lambda: tell([], {}, tmp_path / "file" / "figures.json")) == 2
    assert capsys.readouterr().err.startswith("Error: Cannot write ")


def test_of_what_takes_long_half_the_rounds_are_taken(tmp_path):
    few = [Given("cpu", quick=False, rounds=rounds, room=tmp_path).few_rounds for rounds in (1, 2, 4, 5)]
    assert few == [1, 1, 2, 3]
    assert Given("cpu", quick=True, rounds=5, room=tmp_path).few_rounds == 1


def test_pairs_are_compared_that_were_taken_together():
    speeds = iter([1.0, 2.0, 30.0, 20.0, 3.0, 3.0])
    order = []

    def figure(name):
        order.append(name)
        return next(speeds)

    ours, bare, ratio = alternating(lambda: figure("ours"), lambda: figure("bare"), 3)
    assert order == ["ours", "bare", "bare", "ours", "ours", "bare"]
    assert (ours, bare, ratio) == (3.0, 3.0, 20 / 30)


@pytest.mark.parametrize(("family", "load"), [("sd1", sd.load), ("sdxl", sdxl.load)])
def test_a_reduced_model_is_one_that_the_trainers_load(family, load, tmp_path):
    model = load(str(make_model(tmp_path / "model.safetensors", family, "reduced", torch.bfloat16)))
    assert next(model.unet.parameters()).dtype == torch.bfloat16
    assert all(torch.isfinite(tensor).all() for tensor in model.unet.state_dict().values())


def test_a_stage_that_is_not_there_is_named():
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "nothing"], cwd=REPOSITORY, capture_output=True, text=True
    )
    assert ended.returncode == 2 and "nothing" in ended.stderr


@pytest.mark.parametrize(
    ("option", "value", "why"),
    [
        ("--rounds", "0", "--rounds: this is a whole number of at least 1, not 0."),
        ("--rounds", "x", "--rounds: this is a whole number of at least 1, not x."),
        ("--rounds", "", "--rounds: this is a whole number of at least 1, not nothing."),
        ("--room", "nowhere", "--room: nowhere is not there. Name a folder that is."),
        ("--room", __file__, f"--room: {__file__} is a file. Name a folder."),
        ("--json", "/dev/full", "--json: /dev/full is no ordinary file. Name a file in a folder that is there."),
        ("--json", "/", "--json: / is a folder. Name a file in a folder that is there."),
    ],
)
def test_what_no_stage_can_do_is_said_once(option, value, why, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["benchmarks", option, value])
    with pytest.raises(SystemExit, match="2"):
        every_stage.main()
    said = capfd.readouterr()
    assert why in said.err and not said.out


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="a folder that takes no files")
@pytest.mark.parametrize(("option", "value"), [("--room", "/proc"), ("--json", "/proc/figures.json")])
def test_a_folder_that_takes_no_files_is_said(option, value, monkeypatch, capfd):
    monkeypatch.setattr(sys, "argv", ["benchmarks", option, value])
    with pytest.raises(SystemExit, match="2"):
        every_stage.main()
    assert f"{option}: /proc takes no new files. Name a folder that does." in capfd.readouterr().err


def test_a_file_for_the_figures_is_looked_at_before_anything_is_measured(tmp_path):
    figures = tmp_path / "nowhere" / "figures.json"
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks", "--json", str(figures), "start"],
        cwd=REPOSITORY, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 2 and f"{figures} lies in no folder that is there" in ended.stderr
    assert not ended.stdout and not figures.parent.exists()
    assert json_file(str(tmp_path / "figures.json")) == tmp_path / "figures.json"


STAGE = """
import pathlib, sys
pathlib.Path(sys.argv[sys.argv.index("--json") + 1]).write_text('{"rows": 1}')
sys.exit(%d)
"""


def test_a_stage_that_fails_stops_no_other(monkeypatch, tmp_path, capfd):
    stages, figures = tmp_path / "benchmarks", tmp_path / "figures.json"
    stages.mkdir()
    for name, program in {"fails": "raise OSError", "misses": STAGE % 1, "holds": STAGE % 0}.items():
        (stages / f"{name}.py").write_text(program)
    monkeypatch.setattr(every_stage, "REPOSITORY", tmp_path)
    monkeypatch.setattr(every_stage, "STAGES", ["fails", "misses", "holds"])
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--json", str(figures)])
    assert every_stage.main() == 1
    assert capfd.readouterr().out.rstrip().endswith("in: fails, misses.")
    assert json.loads(figures.read_bytes()) == {"fails": None, "misses": {"rows": 1}, "holds": {"rows": 1}}
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "holds"])
    assert every_stage.main() == 0
    assert capfd.readouterr().out.rstrip().endswith("Tried only: these figures mean nothing, and no goal was judged.")
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--quick", "fails"])
    assert every_stage.main() == 1
    assert capfd.readouterr().out.rstrip().endswith("Trouble in: fails.")


def test_what_another_package_misses_is_not_said():
    program = "import benchmarks, logging; logging.getLogger('bitsandbytes.backends.cpu.ops').warning('Failed to load')"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY)
    assert (done.returncode, done.stderr) == (0, "")
