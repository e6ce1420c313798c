"""What the page is shown of a run: from events written as scripts write them, and from a live one."""

import io
import json
import os
import time

import pytest

from kohya_gui.monitor import Monitor
from kohya_gui.runs.events import MAX_POINTS, RunView
from kohya_gui.words import speaking
from sd_scripts.library import events
from sd_scripts.library.report import Report


@pytest.fixture
def told(tmp_path):
    """An events file and what writes it."""
    path = tmp_path / "events.jsonl"
    report = Report(path, out=io.StringIO())
    yield path, report
    report.close()


def test_everything_that_a_script_tells_arrives(told):
    path, report = told
    view = RunView(path)
    report.phase("load")
    report.phase("train", total=10)
    report.progress(3, 10)
    report.emit(events.Metric(step=3, epoch=1, values={"loss": 0.5, "lr": 1e-5}))
    report.emit(events.Sample(path="/s.png", prompt="a", index=0, step=3, epoch=1))
    report.failed_item("x.png", "it is empty")
    report.notice("mind this", "warning")
    view.update()
    assert [(p.name, p.ended is None) for p in view.phases] == [("load", False), ("train", True)]
    assert (view.phase.done, view.phase.total, view.skipped) == (3, 10, 1)
    assert view.metrics(0) == {"step": [3], "epoch": [1], "loss": [0.5], "lr": [1e-5], "grad_norm": [None]}
    seen = view.next_event
    report.emit(events.Metric(step=4, epoch=1, values={"loss": 0.4}))
    report.summary("Done.", steps=10)
    assert view.update().metrics(seen)["step"] == [4]
    assert view.summary.counts == {"skipped": 1, "steps": 10}
    assert RunView(path).update().metrics(0) == view.metrics(0)


def test_a_line_half_written_waits_and_a_foreign_one_is_passed_over(tmp_path):
    path = tmp_path / "events.jsonl"
    line = events.to_line(events.Phase(name="train"))
    path.write_text('{"event": "future", "time": 1}\nnonsense\n' + line[:20])
    view = RunView(path).update()
    assert (view.phases, view.next_event) == ([], 2)
    with open(path, "a") as stream:
        stream.write(line[20:] + "\n")
    assert (view.update().phase.name, view.next_event) == ("train", 3)


def test_long_curves_are_thinned_and_keep_their_end(told):
    path, report = told
    for step in range(1, 5001):
        report.emit(events.Metric(step=step, epoch=1, values={"loss": 1.0}))
    begun = time.perf_counter()
    steps = RunView(path).update().metrics(0)["step"]
    assert time.perf_counter() - begun < 1.0
    assert len(steps) <= MAX_POINTS and steps[-1] == 5000


def test_a_live_run_is_polled_and_its_log_followed(lab):
    monitor = Monitor(lab.queue)
    run_id, waiting = lab.add("long", "--steps", "10000"), lab.add("next")
    lab.wait_steps(run_id, 3)
    polled = monitor.poll(run_id, 0, 0)
    row = polled["active"]
    assert (row["id"], row["state"], row["word"]) == (run_id, "running", "Training")
    assert row["progress"]["total"] == 10000 and polled["waiting"] == 1
    assert polled["run"]["metrics"]["step"][:2] == [1, 2]
    assert polled["log"]["text"].startswith("Train")
    later = monitor.poll(run_id, polled["run"]["next_event"], polled["log"]["next_offset"])
    assert 1 not in later["run"]["metrics"]["step"]
    assert monitor.row(waiting)["why"] == "It waits for CPU, which long (Fine-tuning) uses."
    with speaking("ja"):
        assert monitor.row(waiting)["word"] == "待機中"
    lab.queue.request(run_id, "stop")
    lab.wait(waiting)
    history = monitor.runs()["history"]
    assert [(row["name"], row["state"]) for row in history] == [("next", "done"), ("long", "stopped")]
    idle = {"active": None, "waiting": 0, "run": None, "log": None, "paused": False}
    assert idle.items() <= monitor.poll(None, 0, 0).items()


def test_no_news_is_said(lab):
    monitor = Monitor(lab.queue)
    run_id = lab.add("quiet", "--steps", "1", "--then", "hang")
    lab.wait_steps(run_id, 1)
    process = lab.store.folder(run_id) / "process.json"
    old = time.time() - 300
    for path in (lab.store.events_path(run_id), lab.store.log_path(run_id)):
        os.utime(path, (old, old))
    facts = json.loads(process.read_text())
    process.write_text(json.dumps(facts | {"started": old}))
    row = monitor.row(run_id)
    assert (row["state"], row["why"]) == ("stalled", "No news for 5 min; the process is alive.")
    lab.queue.request(run_id, "kill")
    lab.wait(run_id)
