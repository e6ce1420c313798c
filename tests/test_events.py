"""Events and requests: what is written is read back, and broken lines harm nobody."""

import errno
import io
import json
from pathlib import Path

import pytest

from sd_scripts.library import events
from sd_scripts.library.asked import Asked
from sd_scripts.library.console import duration
from sd_scripts.library.errors import BadFile, LossNotFinite, OutOfMemory, UserError
from sd_scripts.library.events import KINDS, LineReader, Requests, from_line, request_line, to_line
from sd_scripts.library.io.atomic import replacing, replacing_folder, write_json
from sd_scripts.library.notice import Notice
from sd_scripts.library.program import _run
from sd_scripts.library.report import Report, counted
from sd_scripts.library.seeds import derive

EXAMPLES = [
    events.Start(script="fine_tune.py", pid=7),
    events.Phase(name="train", total=10),
    events.Progress(phase="train", done=1, total=10, rate_per_s=2.0, eta_s=4.5),
    events.Metric(step=1, epoch=1, values={"loss": 0.1, "lr": 2e-6}),
    events.Validation(step=1, epoch=1, loss=0.2),
    events.Sample(path="/a.png", prompt="猫", index=0, step=1, epoch=1),
    events.Saved(path="/m", kind="model", size_bytes=3, step=1, epoch=1),
    events.ItemFailed(item="/x.png", reason="the file is empty"),
    events.Notice(level="warning", text="hm"),
    events.Paused(
        path="/d/X", reason="No space left on device", kind="full", free_bytes=10, needed_bytes=99, elsewhere=True
    ),
    events.GoesOn(),
    events.Branched(state="/s", step=3, changes={"learning_rate": [0.1, 0.2], "optimizer_args": [None, ["a=1"]]}),
    events.Summary(counts={"images": 3}, tables={"buckets": [{"bucket": "512x512", "images": 3}]}),
    events.Failed(sentence="No.", option="in_json", kind="file"),
    events.Stopped(sentence="Stopped at step 3."),
]


def test_every_kind_has_an_example() -> None:
    assert {type(example) for example in EXAMPLES} == set(KINDS.values())


@pytest.mark.parametrize("event", EXAMPLES, ids=lambda e: e.event)
def test_events_survive_the_file(event: events.Event) -> None:
    assert from_line(to_line(event, 12.5)) == (12.5, event)


@pytest.mark.parametrize("line", ["", "{", "[]", '{"event": "phase"}', '{"event": "new", "time": 1}', "null", "5"])
def test_broken_lines_are_nothing(line: str) -> None:
    assert from_line(line) is None


def test_a_line_reader_gives_whole_lines_only(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    reader = LineReader(file)
    assert reader.new_lines() == []
    file.write_text("one\ntw")
    assert reader.new_lines() == ["one"]
    file.write_text("one\ntwo\n")
    assert reader.new_lines() == ["two"]


def test_requests_are_heard_once(tmp_path: Path) -> None:
    file = tmp_path / "control.jsonl"
    requests = Requests(file)
    file.write_text(request_line("sample") + "nonsense\n" + '{"request": "reboot"}\n' + request_line("stop"))
    assert requests.take() == ["sample", "stop"]
    assert requests.take() == []


def test_a_report_tells_the_file_and_the_terminal(tmp_path: Path) -> None:
    out = io.StringIO()
    control = tmp_path / "control.jsonl"
    report = Report(tmp_path / "events.jsonl", Asked(Requests(control)), out)
    report.phase("tag", "Tagging", total=3)
    seen = []
    for number in report.each([1, 2, 3], 3):
        seen.append(number)
        if number == 2:
            control.write_text(request_line("save") + request_line("stop"))
    report.failed_item("x.png", "the file is empty")
    report.summary("Done.", tagged=2)
    report.close()
    assert seen == [1, 2]
    assert report.requests() == ["save", "stop"]
    assert "left out: x.png: the file is empty" in out.getvalue()
    lines = [json.loads(line) for line in (tmp_path / "events.jsonl").read_text().splitlines()]
    assert [line["event"] for line in lines] == ["phase", "progress", "item_failed", "progress", "summary"]
    assert lines[-2]["done"] == 2
    assert lines[-1]["counts"] == {"skipped": 1, "tagged": 2}


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_json(target, {"old": 1})
    with pytest.raises(RuntimeError), replacing(target) as beside:
        beside.write_text("half")
        raise RuntimeError
    assert json.loads(target.read_text()) == {"old": 1}
    assert [file.name for file in tmp_path.iterdir()] == ["a.json"]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "model"
    for text in ("one", "two"):
        with replacing_folder(target) as beside:
            (beside / "file").write_text(text)
    with pytest.raises(RuntimeError), replacing_folder(target) as beside:
        raise RuntimeError
    assert (target / "file").read_text() == "two"
    assert [file.name for file in tmp_path.iterdir()] == ["model"]


def test_numbers_and_their_nouns() -> None:
    assert [counted(n, "step") for n in (0, 1, 1600)] == ["0 steps", "1 step", "1,600 steps"]


def test_durations() -> None:
    assert [duration(s) for s in (12, 200, 3660)] == ["12 s", "3 min", "1 h 1 min"]


def test_seeds_depend_on_their_place_alone() -> None:
    assert derive(1, "noise", 0, 3) == derive(1, "noise", 0, 3)
    places = [(1, "noise", 0, 3), (1, "noise", 3, 0), (1, "noise", 0, 33), (2, "noise", 0, 3)]
    assert len({derive(*place) for place in places}) == 4
    assert 0 <= derive(0) < 2**63


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (OutOfMemory("Memory ran out."), "memory"),
        (LossNotFinite("Loss became NaN."), "not_finite"),
        (BadFile("There is no x."), "file"),
        (OSError(errno.ENOSPC, "No space left on device", "x"), "disk_full"),
        (OSError(errno.EACCES, "Permission denied", "x"), "file"),
        (UserError("Something else."), None),
    ],
)
def test_the_kind_of_a_failure_is_told(tmp_path: Path, error: Exception, kind: str | None) -> None:
    report = Report(tmp_path / "events.jsonl", out=io.StringIO())

    def work() -> None:
        raise error

    _run(work, report)
    report.close()
    told = from_line((tmp_path / "events.jsonl").read_text())
    assert told and isinstance(told[1], events.Failed) and told[1].kind == kind


def test_a_notice_that_knows_its_option_is_written_as_text() -> None:
    line = events.to_line(events.Notice(level="warning", text=Notice("seed", "--seed does nothing.")))
    assert json.loads(line)["text"] == "--seed does nothing."
