"""What ended: names, notes, stars, deletion that is taken back, comparison; the log and what is found in it."""

import json
import time

import pytest

from kohya_gui.monitor import Monitor
from kohya_gui.project import Project
from kohya_gui.runs import log
from kohya_gui.runs.history import History
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import Outcome, RunStore
from kohya_gui.state import project_state
from sd_scripts.library import events
from sd_scripts.library.errors import BadOption


@pytest.fixture
def history(lab):
    return History(lab.queue)


def ended(lab, name, state="done", losses=(), **facts):
    """A run that has ended without ever having been started."""
    record = lab.store.create("train", name, title="", argv=["x"], work_dir=".", **facts)
    told = [events.Metric(step=step, epoch=1, values={"loss": loss}) for step, loss in enumerate(losses, 1)]
    lab.store.events_path(record.id).write_text("".join(events.to_line(event) + "\n" for event in told))
    lab.store.finish(record.id, Outcome(state=state, ended=time.time()))
    return record.id


def names(lab):
    return [row["name"] for row in Monitor(Queue(RunStore(lab.store.runs_dir))).runs()["history"]]


def test_a_run_is_renamed_noted_and_starred_for_every_page(lab, history):
    run_id = ended(lab, "meadow")
    history.mark(run_id, "  the good one ", None, None)
    history.mark(run_id, None, "dawn looks best", None)
    history.mark(run_id, None, None, True)
    row = Monitor(Queue(RunStore(lab.store.runs_dir))).row(run_id)
    assert (row["name"], row["note"], row["starred"]) == ("the good one", "dawn looks best", True)
    with pytest.raises(BadOption, match="Give the run a name"):
        history.mark(run_id, " ", None, None)


def test_a_deleted_run_comes_back_whole_and_what_it_wrote_was_never_touched(lab, history, tmp_path):
    model = tmp_path / "model.safetensors"
    model.write_bytes(b"weights")
    run_id = ended(lab, "meadow", losses=(1.0, 0.5), values={"output_dir": str(tmp_path)})
    other = ended(lab, "other")
    lab.store.log_path(run_id).write_text("said\n")
    history.delete([run_id])
    assert names(lab) == ["other"] and model.read_bytes() == b"weights"
    (record,) = history.trash.records()
    assert (record["id"], record["name"], record["state"]) == (run_id, "meadow", "done")
    with pytest.raises(BadOption):
        History(Queue(RunStore(lab.store.runs_dir))).restore([other])
    history.restore([run_id])
    assert names(lab) == ["other", "meadow"] and history.trash.records() == []
    assert Monitor(lab.queue).run(run_id)["metrics"]["loss"] == [1.0, 0.5]


def test_only_after_a_month_a_deleted_record_is_gone_and_nothing_else(lab, history):
    old, new = ended(lab, "old"), ended(lab, "new")
    (lab.store.folder(old) / "mine.txt").write_text("kept")
    history.delete([old, new])
    folder = history.trash.folder / old
    (folder / "deleted.json").write_text(json.dumps({"deleted": time.time() - 31 * 86400}))
    History(lab.queue)
    assert [record["id"] for record in history.trash.records()] == [new]
    assert [path.name for path in folder.iterdir()] == ["mine.txt"]


def test_what_is_in_the_queue_or_needed_there_is_not_deleted(lab, history):
    lab.queue.pause(True)
    first, second = (record.id for record in lab.queue.add_chain([lab.step("first"), lab.step("second")]))
    with pytest.raises(BadOption, match="still in the queue"):
        history.delete([first])
    lab.store.finish(first, Outcome(state="done"))
    with pytest.raises(BadOption, match="needed by second"):
        history.delete([first])
    lab.queue.cancel(second)
    history.delete([first, second])
    assert names(lab) == []


def test_settings_that_differ_are_compared_in_order(lab):
    a = ended(lab, "a", losses=(1.0, 0.5), values={"learning_rate": 1e-6, "seed": 7, "v2": False})
    b = ended(lab, "b", losses=(1.0, 0.9, 0.8), values={"learning_rate": 2e-6, "seed": 7, "loss_type": "l2"})
    compared = Monitor(lab.queue).compare([b, a])
    assert compared["differs"] == [
        {"flag": "learning_rate", "values": [2e-6, 1e-6]},
        {"flag": "loss_type", "values": ["l2", None]},
        {"flag": "v2", "values": [None, False]},
    ]
    assert [run["metrics"]["loss"] for run in compared["runs"]] == [[1.0, 0.9, 0.8], [1.0, 0.5]]


def test_run_again_copies_a_done_run_and_only_it(lab):
    lab.queue.pause(True)
    first, second = (record.id for record in lab.queue.add_chain([lab.step("first"), lab.step("second")]))
    lab.store.finish(first, Outcome(state="done"))
    lab.queue.cancel(second)
    (again,) = lab.queue.request(first, "retry")
    assert lab.store.record(again).argv == lab.store.record(first).argv
    assert list(lab.store.unended()) == [again]


def test_the_mark_of_the_runs_tab_tells_how_the_last_run_ended(lab):
    project = Project(name="meadow")
    assert project_state(project, lab.store, {})["tabs"]["runs"] == "todo"
    for state, mark in (("done", "done"), ("failed", "err"), ("cancelled", "err"), ("stopped", "done")):
        ended(lab, "x", state, project="meadow")
        assert project_state(project, lab.store, {})["tabs"]["runs"] == mark, state
    ended(lab, "elsewhere", "failed", project="other")
    assert project_state(project, lab.store, {})["tabs"]["runs"] == "done"


def test_a_text_is_found_in_the_whole_log_with_its_place(tmp_path):
    path = tmp_path / "output.log"
    lines = [f"step {i} läuft" for i in range(20_000)]
    path.write_text("\n".join([*lines, "Loss is NaN", "end"]), encoding="utf-8")
    (found,) = log.find(path, "loss IS")["lines"]
    assert found == {"line": 20_001, "offset": found["offset"], "text": "Loss is NaN"}
    assert log.part(path, found["offset"], complete=True)["text"] == "Loss is NaN\nend"
    assert log.find(path, "LÄUFT")["count"] == 20_000
    assert len(log.find(path, "läuft")["lines"]) == log.MAX_FOUND
    assert log.find(path, "")["count"] == log.find(tmp_path / "none", "x")["count"] == 0


def test_a_log_is_read_in_parts_without_loss(tmp_path):
    path = tmp_path / "output.log"
    path.write_bytes("\n".join(f"line {i} ü" for i in range(60_000)).encode())
    text, at = "", 0
    while at < path.stat().st_size:
        part = log.part(path, at, complete=True)
        assert part["start"] == at
        text, at = text + part["text"], part["next_offset"]
    assert text == path.read_text(encoding="utf-8")
