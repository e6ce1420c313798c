"""How an ended training goes on: each way fills the form rightly for each method."""

import pytest

from kohya_gui.runs.events import RunView
from kohya_gui.stages import STAGES, TRAINERS
from kohya_gui.ways_on import ways_on, weights_flag
from sd_scripts.library import events
from tests.states import write_state


def saved(*paths):
    return [{"kind": "state" if path.name.endswith("-state") else "model", "path": str(path)} for path in paths]


def test_the_newest_that_is_whole_and_there_is_offered(tmp_path):
    older, newer = write_state(tmp_path / "a-state"), write_state(tmp_path / "b-state")
    (newer / "sums.json").unlink()
    (tmp_path / "last.safetensors").write_bytes(b"x")
    (tmp_path / "last-2.safetensors").write_bytes(b"x")
    files = saved(older, newer, tmp_path / "last.safetensors", tmp_path / "gone.safetensors")
    ways = {way["name"]: way for way in ways_on("train", {"output_dir": str(tmp_path)}, files)}
    assert list(ways) == ["resume", "weights", "branch"]
    none = {"resume": "", "branch": "", "resume_from_huggingface": False}
    assert ways["resume"]["changes"] == none | {"resume": str(older)}
    assert ways["branch"]["changes"] == none | {"branch": str(older), "output_name": "last-3"}
    weights = {"pretrained_model_name_or_path": str(tmp_path / "last.safetensors"), "output_name": "last-3"}
    assert ways["weights"]["changes"] == none | weights
    assert ways_on("train", {}, saved(newer, tmp_path / "gone.safetensors")) == []


@pytest.mark.parametrize("stage", TRAINERS)
def test_weights_go_into_the_option_that_takes_them(stage):
    expected = {"hypernetwork": "hypernetwork_weights", "network": "network_weights", "inversion": "weights"}
    script = STAGES[stage].script
    kind = next((kind for kind in expected if kind in script), None)
    assert weights_flag(stage) == expected.get(kind, "pretrained_model_name_or_path")


def test_a_run_knows_that_it_is_a_branch(tmp_path):
    told = events.Branched(state="/s", step=3, changes={"learning_rate": [0.1, 0.2]})
    (tmp_path / "events.jsonl").write_text(events.to_line(told) + "\n")
    assert RunView(tmp_path / "events.jsonl").update().branch == told
