"""The endpoints, end to end where no model is needed."""

import inspect
import itertools
import json
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kohya_gui.api import Studio
from kohya_gui.stages import STAGES


def wait(studio, run_id, timeout_s=120):
    deadline = time.monotonic() + timeout_s
    while (row := studio.run(run_id)["row"])["state"] in ("waiting", "running"):
        assert time.monotonic() < deadline, row
        time.sleep(0.1)
    return row


def saved_project(studio, folder, /, **more):
    home = folder.parent
    project = {"name": "meadow", "pictures": [str(folder)], "work_dir": str(home / "work"), "model": "owner/model"}
    return studio.project_save(project | more)


def test_projects_are_kept_opened_and_forgotten(studio, pictures):
    project = saved_project(studio, pictures)["project"]
    assert project["output_name"] == "meadow"
    assert studio.projects() == {"projects": [project], "current": "meadow", "trouble": ""}
    saved_project(studio, pictures, name="二つ目")
    assert studio.project_open("meadow")["project"] == project
    again = Studio(studio._queue.store.runs_dir, studio.roots.folders, studio.repo / "presets", studio.repo)
    assert again.projects()["current"] == "meadow" and len(again.projects()["projects"]) == 2
    assert studio.project_delete("meadow") == {"ok": True}
    assert studio.projects()["current"] is None
    assert "no project" in studio.project_open("meadow")["error"]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "a/b"), ("pictures", []), ("pictures", ["nowhere"]), ("pictures", ["/etc"]),
        ("model", "/etc/passwd"), ("work_dir", ""), ("work_dir", "/"), ("output_name", "../x"),
    ],
)  # fmt: skip
def test_a_project_says_what_must_be_mended(studio, pictures, field, value):
    answer = saved_project(studio, pictures, **{field: value})
    assert answer["errors"].keys() == {field}
    assert studio.projects()["projects"] == []


def test_the_state_of_a_project_follows_its_files(studio, pictures):
    saved_project(studio, pictures)
    state = studio.project_state("meadow")
    assert state["counts"] == {"images": 2, "captions": 2, "tags": 2}
    assert state["found"]["pictures"] == "2 images, 0 without text"
    expected = {
        "project": "done",
        "dataset": "done",
        "caption": "done",
        "tag": "done",
        "metadata": "todo",
        "latents": "todo",
        "train": "todo",
    }
    assert state["tabs"] == expected | {"runs": "todo"}
    work = pictures.parent / "work"
    work.mkdir()
    (work / "meta_cap.json").write_text("{}")
    assert studio.project_state("meadow")["tabs"]["metadata"] == "done"
    time.sleep(0.02)
    (pictures / "a.caption").write_text("changed")
    assert studio.project_state("meadow")["tabs"]["metadata"] == "stale"


def test_the_metadata_stages_run_as_a_chain(studio, pictures):
    saved_project(studio, pictures)
    answer = studio.pipeline("meadow", caption="none", tagger="none", skip=["latents", "train"], confirm=True)
    rows = [wait(studio, run_id) for run_id in answer["chain"]]
    assert [row["state"] for row in rows] == ["done"] * 3, studio.run_log(answer["chain"][0])
    assert len({row["chain"] for row in rows}) == 1
    clean = json.loads((pictures.parent / "work" / "meta_clean.json").read_text())
    assert clean["a"] == {"caption": "a picture of a", "tags": "long hair"}
    assert studio.project_state("meadow")["tabs"]["metadata"] == "done"
    record = json.loads((studio._queue.store.folder(answer["chain"][0]) / "run.json").read_text())
    assert record["dataset"]["images"] == 2 and record["versions"]["python"] and record["values"]["recursive"] is False


def test_a_stage_started_for_several_folders_is_a_chain(studio, pictures):
    second = pictures.parent / "more"
    shutil.copytree(pictures, second)
    saved_project(studio, pictures, pictures=[str(pictures), str(second)])
    values = studio.stage_values("merge_captions", "meadow")["values"]
    answer = studio.start("merge_captions", values, "meadow")
    assert [wait(studio, run_id)["state"] for run_id in answer["chain"]] == ["done", "done"]
    merged = json.loads((pictures.parent / "work" / "meta_cap.json").read_text())
    assert set(merged) == {str(folder / f"{name}.png") for folder in (pictures, second) for name in "ab"}
    alone = studio.start("merge_captions", values | {"train_data_dir": str(second)}, "meadow")
    assert wait(studio, alone["run_id"])["state"] == "done" and "chain" not in alone


def test_errors_block_a_start_and_warnings_ask_once(studio, pictures):
    (pictures / "b.txt").unlink()
    values = {"train_data_dir": str(pictures), "out_json": str(pictures.parent / "m.json")}
    wrong = studio.start("merge_tags", values | {"in_json": "missing.json"}, confirm=True)
    assert {"level": "error", "field": "in_json"}.items() <= wrong["findings"][0].items()
    assert studio.runs() == {"queue": [], "history": [], "paused": False, "trouble": ""}
    asked = studio.start("merge_tags", values)
    assert [f["level"] for f in asked["findings"] if f["level"] != "fine"] == ["warning"]
    read = [f["text"] for f in asked["findings"] if f["level"] == "warning"]
    assert "findings" in studio.start("merge_tags", values, confirm=["another warning"])
    assert not studio.runs()["queue"]
    run_id = studio.start("merge_tags", values, confirm=read)["run_id"]
    assert wait(studio, run_id)["state"] == "done"


def test_the_command_on_screen_is_the_one_that_runs(studio, pictures):
    out = pictures.parent / "it's $(x) 日本.json"
    values = {"train_data_dir": str(pictures), "out_json": str(out)}
    shown = studio.check("merge_captions", values)["command"]
    run_id = studio.start("merge_captions", values)["run_id"]
    wait(studio, run_id)
    assert studio.run(run_id)["argv"] == shown
    first = out.read_bytes()
    out.unlink()
    subprocess.run(["sh", "-c", shown["sh"]], check=True, cwd="/", capture_output=True)
    assert out.read_bytes() == first
    assert shlex.split(shown["sh"])[-1] == str(out)


def test_a_command_that_lacks_something_shows_where(studio):
    assert shlex.split(studio.check("clean", {"in_json": "a.json"})["command"]["sh"])[-1] == "<out_json>"


def test_a_failed_run_tells_its_sentence_and_its_last_lines(studio, pictures):
    values = {"train_data_dir": str(pictures), "out_json": str(pictures.parent / "m.json")}
    queue = studio._queue
    run_id = studio.start("merge_captions", values)["run_id"]
    wait(studio, run_id)
    argv = [*queue.store.record(run_id).argv[:2], str(pictures / "nothing"), "x.json"]
    failed = queue.add("merge_captions", "bad", title="", argv=argv, work_dir=str(pictures)).id
    assert wait(studio, failed)["state"] == "failed"
    error = studio.run(failed)["failure"]
    assert error["option"] == "train_data_dir" and "there is no folder" in error["sentence"]
    assert error["sentence"] in error["tail"]
    assert studio.run_log(failed, -5)["next_offset"] == studio.run_log(failed)["next_offset"]


def test_presets_leave_out_what_the_project_gives(studio, pictures):
    saved_project(studio, pictures)
    given = studio.stage_values("train", "meadow")["values"]
    assert studio.all_stage_values("meadow")["train"]["values"] == given
    kept = studio.preset_save("train", "mine", "", given | {"learning_rate": "1e-6"})["preset"]
    assert kept["values"] == {"learning_rate": 1e-6}
    assert [preset["name"] for preset in studio.presets("train")["mine"]] == ["mine"]


def test_wrong_calls_are_answered_not_raised(studio):
    calls = {
        "__init__": {}, "nothing": {}, "run": {"id": "../../etc"}, "run_log": {}, "presets": {"stage": "x"},
        "run_request": {"id": "20260101-000000-000-x", "request": "stop"}, "browse": {"path": "/etc"},
        "tensorboard": {"action": "start"}, "project_state": {"name": "x"},
    }  # fmt: skip
    for name, args in calls.items():
        assert studio.call(name, args)["error"], name
    assert studio.call("presets", {"stage": "x", "lang": "ja"})["error"] == "「x」という工程はありません。"


WRONG = (None, 5, -3, 2.5, True, "x", "\0", [], [5], {}, {"x": {"y": []}}, {"batch_size": [[]]})


@pytest.mark.parametrize("name", [name for name in Studio.ENDPOINTS if name != "example_project"])
def test_arguments_of_any_type_are_answered_not_raised(studio, name):
    usual = {"stage": "train", "values": {}, "project": None, "name": "x", "description": "", "action": "status"}
    usual |= {"id": "20260101-000000-000-x", "request": "stop"}
    parameters = inspect.signature(getattr(Studio, name)).parameters.keys() - {"self"}
    for argument, value in itertools.product(sorted(parameters | {"lang"}), WRONG):
        args = {key: usual[key] for key in parameters & usual.keys()} | {argument: value}
        assert isinstance(studio.call(name, args), dict), args


def test_a_value_of_the_wrong_type_is_named(studio):
    for values in ([1], {"batch_size": {"a": 1}}):
        answer = studio.check("caption_blip", values)
        assert answer["field"] == "values" and "check takes values as {text: " in answer["error"]
    assert studio.start("caption_blip", {}, confirm=1)["field"] == "confirm"
    assert "needs the argument" in studio.call("run", {})["error"]
    assert studio.call("run", {"id": "x", "more": 1})["field"] == "more"


def test_the_example_is_a_run_and_its_values_fit_every_stage(studio):
    answer = studio.example_project()
    studio.run_request(answer["run_id"], "kill")
    assert studio.projects()["current"] == "example"
    folder = Path(answer["project"]["model"]).parents[1]
    # A tool's files are chosen by hand.
    for stage in (one.id for one in STAGES.values() if one.tab != "tools"):
        filled = studio.stage_values(stage, "example")
        answers = studio.check(stage, filled["values"], "example")["fields"].values()
        wrong = [fact["error"] for fact in answers if str(folder) not in fact.get("error", str(folder))]
        assert wrong == [], "only what is not made yet is missing"
    stolen = studio.project_save(answer["project"] | {"name": "mine", "values_file": "/etc/passwd"})
    assert "errors" in stolen or stolen["project"]["values_file"] == ""
    assert wait(studio, answer["run_id"])["state"] in ("stopped", "cancelled")


def test_a_start_asks_once_when_a_queued_run_writes_the_same_file(studio, pictures):
    values = {"train_data_dir": str(pictures), "out_json": str(pictures.parent / "m.json")}
    begun = studio.start("merge_captions", values)
    assert begun["waits"] is False
    wait(studio, begun["run_id"])
    record = studio._queue.store.record(begun["run_id"])
    # A program that lasts stands for a long merge.
    facts = {"title": "", "argv": [sys.executable, "-c", "import time; time.sleep(60)"], "work_dir": str(pictures)}
    elsewhere = record.values | {"out_json": str(pictures.parent / "elsewhere.json")}
    before = studio._queue.add("merge_captions", "before", **facts, values=elsewhere).id
    queued = studio._queue.add("merge_captions", "meadow", **facts, values=record.values).id
    (pictures.parent / "m.json").unlink(missing_ok=True)
    (asked,) = [f for f in studio.start("merge_captions", values)["findings"] if f["level"] == "warning"]
    assert asked["field"] == "out_json" and "writes the same file is already" in asked["text"]
    assert "meadow" in asked["text"]
    other = values | {"out_json": str(pictures.parent / "other.json")}
    assert {f["level"] for f in studio.check("merge_captions", other)["findings"]} == {"fine"}
    confirmed = studio.start("merge_captions", values, confirm=True)["run_id"]
    for run_id in (queued, before):
        studio.run_request(run_id, "kill")
    for run_id in (before, queued, confirmed):
        wait(studio, run_id)
    (pictures.parent / "m.json").unlink(missing_ok=True)
    assert "run_id" in studio.start("merge_captions", values)


def test_a_waiting_run_of_a_chain_is_given_other_settings(studio, pictures):
    saved_project(studio, pictures)
    studio.queue_pause(True)
    chain = studio.pipeline("meadow", skip=["latents", "train"], caption="none", tagger="none")["chain"]
    assert [row["stage"] for row in studio.runs()["queue"]] == ["merge_captions", "merge_tags", "clean"]
    cleaning = chain[-1]
    values = studio.run(cleaning)["values"] | {"out_json": str(pictures.parent / "other.json")}
    missing = [one for one in studio.check("clean", values)["findings"] if one["level"] == "error"]
    assert missing, "without its chain, the file that it reads is not there"
    fine = studio.check("clean", values, replaces=cleaning)
    assert [one for one in fine["findings"] if one["level"] == "error"] == []
    assert "findings" in studio.run_replace(cleaning, values | {"out_json": ""})
    assert studio.run_replace(cleaning, values)["run_id"] == cleaning
    record = studio._queue.store.record(cleaning)
    assert (record.after, record.chain is None, record.project) == (chain[1], False, "meadow")
    studio.queue_pause(False)
    assert [wait(studio, run_id)["state"] for run_id in chain] == ["done"] * 3
    assert (pictures.parent / "other.json").is_file()
    assert "not waiting" in studio.run_replace(cleaning, values, confirm=True)["error"]


def test_actions_of_the_history_are_answered(studio, pictures):
    values = {"train_data_dir": str(pictures), "out_json": str(pictures.parent / "m.json")}
    run_id = studio.start("merge_captions", values)["run_id"]
    wait(studio, run_id)
    assert studio.run_mark(run_id, name="mine", starred=True)["row"]["name"] == "mine"
    again = studio.run_request(run_id, "retry")["run_id"]
    wait(studio, again)
    compared = studio.runs_compare([run_id, again])
    assert (len(compared["runs"]), compared["differs"]) == (2, [])
    assert studio.runs_compare([run_id])["field"] == "ids"
    assert studio.runs_delete([run_id]) == {"ids": [run_id]}
    assert [run["name"] for run in studio.runs_deleted()["runs"]] == ["mine"]
    assert studio.run(run_id)["error"]
    assert studio.runs_restore([run_id]) == {"ids": [run_id]} and studio.runs_deleted() == {"runs": []}
    assert studio.run_log_find(run_id, "merged")["count"] == len(
        [line for line in studio.run_log(run_id)["text"].splitlines() if "merged" in line.casefold()]
    )


def test_a_new_project_takes_no_other_ones_place(studio, pictures):
    kept = saved_project(studio, pictures)["project"]
    new = {"name": "meadow", "pictures": [str(pictures)], "work_dir": str(pictures.parent / "other")}
    assert studio.project_save(new, is_new=True)["errors"].keys() == {"name"}
    assert studio.projects()["projects"] == [kept]
    assert "project" in studio.project_save(new | {"name": "hill"}, is_new=True)


def test_only_a_name_of_the_hub_is_called_a_model_of_the_hub(studio, pictures):
    saved_project(studio, pictures)
    assert "hub" in studio.project_state("meadow")["found"]["model"]
    example = studio.example_project()
    studio.run_request(example["run_id"], "kill")
    assert not Path(example["project"]["model"]).exists()
    assert studio.project_state("example")["found"]["model"] == ""
    assert wait(studio, example["run_id"])["state"] in ("stopped", "cancelled")
