"""What the page is shown of a run: from events written as scripts write them, and from a live one."""

import io
import json
import os
import sys
import time

import pytest

from kohya_gui.monitor import Monitor, figures
from kohya_gui.runs.events import MAX_POINTS, RunView
from kohya_gui.words import speaking
from sd_scripts.library import events
from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report
from tests.gui_server.conftest import FAKE


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
    report.emit(events.Validation(step=3, epoch=1, loss=0.7))
    view.update()
    assert view.metrics(0) == {
        "step": [3],
        "epoch": [1],
        "loss": [0.5],
        "lr": [1e-5],
        "grad_norm": [None],
        "validation_step": [3],
        "validation": [0.7],
    }
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
    begun = time.process_time()
    steps = RunView(path).update().metrics(0)["step"]
    assert time.process_time() - begun < 1.0
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


def silence(lab, run_id: str, seconds: float) -> None:
    """Makes a run's last word so old."""
    process, old = lab.store.folder(run_id) / "process.json", time.time() - seconds
    for path in (lab.store.events_path(run_id), lab.store.log_path(run_id)):
        os.utime(path, (old, old))
    facts = json.loads(process.read_text())
    process.write_text(json.dumps(facts | {"started": old}))


def test_a_pause_foretells_no_end(told):
    path, report = told
    report.phase("train", total=10)
    report.emit(events.Progress(phase="train", done=2, total=10, rate_per_s=1.0, eta_s=8.0))
    phase = RunView(path).update().phase
    assert figures(phase, paused=False) == {"done": 2, "total": 10, "rate_per_s": 1.0, "eta_s": 8.0}
    assert figures(phase, paused=True) == {"done": 2, "total": 10, "rate_per_s": None, "eta_s": None}


@pytest.mark.parametrize(
    ("lang", "word", "title"),
    [
        ("en", "Compiling the model", "which may take minutes"),
        ("ja", "モデルのコンパイル中", "数分かかることがあります"),
    ],
)
def test_a_first_step_that_compiles_the_model_says_so(lab, lang, word, title):
    asked = {"values": {"torch_compile": True}, "argv": [sys.executable, FAKE, "--steps", "2", "--step_s", "1000"]}
    run_id = lab.queue.add(**lab.step("compiled") | asked).id
    monitor, path = Monitor(lab.queue), lab.store.events_path(run_id)
    deadline = time.monotonic() + 90
    while not RunView(path).update().phases:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    with speaking(lang):
        assert monitor.row(run_id)["word"] == word
        assert title in monitor.run(run_id)["phases"][0]["title"]
        report = Report(path, out=io.StringIO())
        report.emit(events.Metric(step=1, epoch=1, values={"loss": 1.0}))
        report.close()
        assert monitor.row(run_id)["word"] == {"en": "Training", "ja": "学習中"}[lang]
        assert title not in monitor.run(run_id)["phases"][0]["title"]
    lab.queue.request(run_id, "kill")
    assert lab.wait(run_id).state != "done"


def test_no_news_is_said_by_what_is_usual(lab):
    monitor = Monitor(lab.queue)
    run_id = lab.add("quiet", "--steps", "1", "--then", "hang")
    lab.wait_steps(run_id, 1)
    silence(lab, run_id, 100)
    assert monitor.row(run_id)["state"] == "running"
    silence(lab, run_id, 300)
    row = monitor.row(run_id)
    assert (row["state"], row["why"]) == ("stalled", "No news for 5 min; the process is alive.")
    # Steps that took a minute before may take three.
    monitor._view(run_id).phase.gap_s = 60.0
    silence(lab, run_id, 170)
    assert monitor.row(run_id)["state"] == "running"
    silence(lab, run_id, 190)
    sentence = "No news for 3 min, where at most 60 s were usual; the process is alive."
    assert monitor.row(run_id)["why"] == sentence
    with open(lab.store.events_path(run_id), "a") as stream:
        stream.write(events.to_line(events.Phase(name="save")) + "\n")
    silence(lab, run_id, 290)
    assert monitor.row(run_id)["state"] == "running"
    lab.queue.request(run_id, "kill")
    lab.wait(run_id)


def test_what_a_step_takes_is_told_by_its_parts(told):
    path, report = told
    first = {"step_s": 9.0, "forward_s": 4.0, "backward_s": 5.0}
    report.emit(events.Metric(step=1, epoch=1, values={"loss": 2.0, "lr": 1e-5, "lr/unet": 1e-5, **first}))
    view = RunView(path).update()
    assert view.times_s() == first
    for step in (2, 3):
        times = {"step_s": 1.0 * step, "forward_s": 0.5 * step, "backward_s": 0.5 * step}
        report.emit(events.Metric(step=step, epoch=1, values={"loss": 1.0, "lr/unet": 1e-5, "lr/te": 5e-6, **times}))
    view.update()
    # The first step warms up and is left out once there are others; without an optimizer's time there is none.
    assert view.times_s() == {"step_s": 2.5, "forward_s": 1.25, "backward_s": 1.25}
    assert view.loss == pytest.approx(4 / 3)
    columns = view.metrics(0)
    assert (columns["lr/unet"], columns["lr/te"]) == ([1e-5] * 3, [None, 5e-6, 5e-6])


def test_prompts_are_sent_to_what_runs(lab):
    run_id = lab.add("long", "--steps", "10000")
    lab.wait_steps(run_id, 1)
    with pytest.raises(BadOption, match="prompts.txt, line 2: there is no option --x"):
        lab.queue.sample(run_id, "a cat\na dog --x 3")
    assert not lab.store.prompts_path(run_id).exists() and not Monitor(lab.queue).run(run_id)["has_prompts"]
    lab.queue.sample(run_id, "a cat --w 64\n")
    requests = events.Requests(lab.store.control_path(run_id))
    assert (requests.take(), requests.prompts) == (["sample"], str(lab.store.prompts_path(run_id)))
    assert lab.store.prompts_path(run_id).read_text() == "a cat --w 64\n"
    assert Monitor(lab.queue).run(run_id)["has_prompts"]
    lab.queue.request(run_id, "kill")
    lab.wait(run_id)
    with pytest.raises(BadOption, match="not running"):
        lab.queue.sample(run_id, "a cat")
