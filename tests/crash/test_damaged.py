"""What is damaged on the disk is recognised and told; the rest, or the one before, is used."""

import json
import os

import pytest
import torch

from kohya_gui.api import Studio
from kohya_gui.dataset.backups import Backups
from kohya_gui.dataset.thumbnails import Thumbnails
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import Outcome, RunStore
from kohya_gui.runs.worker import CLAIM_S, Worker, asked_at
from sd_scripts.library import systems
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import write_pickle, write_safetensors
from sd_scripts.library.io.metadata import read_metadata, write_entries
from sd_scripts.library.train.saving import Names, is_whole
from tests.gui_server.conftest import REPO, lab, pictures, studio

__all__ = ["lab", "pictures", "studio"]


def cut(path, share=0.5):
    """A file as a program leaves it that does not write like ours, when it is killed."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])


def again(studio):
    return Studio(studio._queue.store.runs_dir, studio.roots.folders, REPO / "presets", REPO)


def test_a_damaged_preset_is_told_and_the_others_are_there(studio):
    for name in ("good", "bad"):
        assert "error" not in studio.preset_save(stage="train", name=name, description="", values={"seed": 7})
    (bad,) = (studio._queue.store.runs_dir / "presets" / "train").glob("bad-*.json")
    cut(bad)
    (bad.parent / ".good-0a0a0a-1-abcdefgh.part.json").write_text("half")
    answer = studio.presets(stage="train")
    assert [one["name"] for one in answer["mine"]] == ["good"] and answer["damaged"] == [str(bad)]
    assert "error" not in studio.preset_save(stage="train", name="bad", description="", values={"seed": 8})
    assert studio.presets(stage="train")["damaged"] == []


def test_a_damaged_file_of_projects_has_a_copy_beside_it(studio, pictures):
    given = {"name": "meadow", "pictures": [str(pictures)], "work_dir": str(pictures.parent / "work")}
    assert "error" not in studio.project_save(project=given)
    path = studio._queue.store.runs_dir / "projects.json"
    cut(path)
    answer = again(studio).projects()
    assert answer["current"] == "meadow" and "copy beside it" in answer["trouble"]
    studio.project_save(project=given)
    assert again(studio).projects()["trouble"] == "" and path.with_name("projects.json.damaged").exists()
    for one in (path, path.with_name("projects.json.bak")):
        cut(one)
    assert "projects.json is broken" in again(studio).projects()["error"]


def test_a_damaged_order_of_the_queue_has_a_copy_beside_it(lab):
    lab.queue.pause(True)
    ids = [lab.add(name) for name in "abc"]
    lab.queue.move(ids[2], "first")
    cut(lab.store.order.path)
    queue = Queue(RunStore(lab.store.runs_dir))
    assert list(queue.store.unended()) == [ids[2], ids[0], ids[1]] and queue.paused
    assert queue.store.order.was_damaged
    queue.move(ids[2], "last")
    assert list(RunStore(lab.store.runs_dir).unended()) == ids
    assert lab.store.order.path.with_name("queue.json.damaged").exists()


def test_a_damaged_record_is_listed_as_that_and_the_page_is_whole(studio):
    store = studio._queue.store
    queue = studio._queue
    queue.pause(True)
    facts = {"title": "Fake", "argv": ["x"], "work_dir": "."}
    good, bad, after = (
        record.id for record in queue.add_chain([{"stage": "train", "name": n, **facts} for n in "abc"])
    )
    done = store.create("train", "done", **facts).id
    store.finish(done, Outcome(state="done", ended=1.0))
    for run_id in (bad, done):
        cut(store.folder(run_id) / "run.json")
    studio = again(studio)
    answer = studio.runs()
    rows = {row["id"]: row for row in answer["history"]}
    assert [row["id"] for row in answer["queue"]] == [good, after]
    assert (rows[bad]["state"], rows[bad]["name"], rows[done]["state"]) == ("failed", "b", "done")
    assert rows[bad]["word"] == "Damaged record"
    assert all("run.json) is damaged" in rows[run_id]["why"] for run_id in (bad, done))
    assert studio.run(id=bad)["row"]["id"] == bad and "error" not in studio.poll(run=bad)
    assert "is damaged" in studio.run_request(id=bad, request="retry")["error"]
    assert "error" not in studio.runs_delete(ids=[done])
    assert [row["name"] for row in studio.runs_deleted()["runs"]] == ["done"]
    assert again(studio).runs_restore(ids=[done]) == {"ids": [done]}


def test_a_damaged_result_says_nothing_and_the_process_is_asked(lab):
    run_id = lab.store.create(**lab.step("a")).id
    lab.store.claim(run_id)
    (lab.store.folder(run_id) / "result.json").write_text('{"state": "do')
    status = RunStore(lab.store.runs_dir).status(run_id)
    assert status.state == "failed" and status.outcome.reason.key == "run.ended_without_result"


@pytest.mark.parametrize("filled", [True, False])
def test_a_run_that_was_taken_by_a_worker_that_died_at_once_waits_again(lab, filled):
    lab.queue.pause(True)
    run_id = lab.add("a")
    assert lab.store.claim(run_id)
    claim = lab.store.folder(run_id) / "process.json"
    long_ago = claim.stat().st_mtime - 2 * CLAIM_S
    claim.write_text(json.dumps({"started": long_ago, "pid": None, "created_s": None}) if filled else '{"sta')
    os.utime(claim, (long_ago, long_ago))
    me = systems.identify(os.getpid())
    lab.store.worker_path.write_text(json.dumps({"pid": me.pid, "created_s": me.created_s}))
    Worker(lab.store, 60.0).step()
    lab.store.worker_path.unlink()
    assert lab.store.status(run_id).state == "waiting"


def test_requests_with_torn_lines_are_read(lab):
    run_id = lab.store.create(**lab.step("a")).id
    lab.store.control_path(run_id).write_bytes(b'{"request": "stop", "time": 1}\n{"request": "\xe3\x81')
    lab.queue._tell(run_id, '{"request": "save", "time": 2}\n')
    assert asked_at(lab.store.control_path(run_id)) == {"stop": 1.0, "save": 2.0}


def test_a_backup_that_is_not_whole_is_left_out_or_refused(tmp_path):
    backups = Backups(tmp_path)
    with backups.making() as writing:
        writing.keep("/p/a.txt", b"a text")
    (backup,) = backups.all()
    half = tmp_path / ".2026-0a0a0a-1-abcdefgh.part"
    half.mkdir()
    (half / "backup.json").write_bytes((tmp_path / backup.id / "backup.json").read_bytes())
    assert [one.id for one in backups.all()] == [backup.id]
    cut(tmp_path / backup.id / "files.json")
    with pytest.raises(BadOption, match="list in this backup is damaged"):
        backups.files(backup.id)


def test_a_thumbnail_without_its_end_is_made_again(tmp_path, pictures):
    made = Thumbnails(tmp_path / "thumbnails").get(pictures / "a.png")
    (kept,) = (tmp_path / "thumbnails").glob("*/*.jpg")
    kept.write_bytes(b"")
    assert Thumbnails(tmp_path / "thumbnails").get(pictures / "a.png") == made == kept.read_bytes()


def test_damaged_metadata_is_refused_with_the_one_before_named(tmp_path):
    path = tmp_path / "meta.json"
    write_entries(path, iter([("a", {"caption": "first"})]))
    assert not path.with_name("meta.json.bak").exists()
    write_entries(path, iter([("a", {"caption": "second"})]))
    cut(path)
    with pytest.raises(BadFile, match=r"meta\.json\.bak is what stood there before"):
        read_metadata(path)
    assert read_metadata(path.with_name("meta.json.bak").rename(tmp_path / "old.json")) == {"a": {"caption": "first"}}
    with pytest.raises(BadFile, match="Make it again"):
        read_metadata(path)


@pytest.mark.parametrize("ending", ["safetensors", "pt"])
def test_models_that_are_cut_short_are_recognised_and_keep_the_older_ones(tmp_path, ending):
    write = write_safetensors if ending == "safetensors" else write_pickle
    paths = [tmp_path / f"X-step{number:08d}.{ending}" for number in (10, 20, 30)]
    for path in paths:
        write(path, {"a": torch.ones(1000)})
    names = Names(tmp_path, "X")
    assert names.older("step", 25, states=False) == paths[:2]
    cut(paths[2], 0.9)
    assert not is_whole(paths[2]) and is_whole(paths[1])
    assert names.older("step", 25, states=False) == []
    # A state that was saved without its model removes no model.
    assert names.older("step", 35, states=False) == []


def test_a_renamed_preset_keeps_its_file_and_another_of_its_old_name_takes_none_away(studio):
    for name, new in (("a", "b"), ("a", "c")):
        assert "error" not in studio.preset_save(stage="train", name=name, description=new, values={"seed": 7})
        assert "error" not in studio.preset_edit(stage="train", name=name, new_name=new, description=new)
    studio.preset_save(stage="train", name="a", description="a", values={"seed": 8})
    assert {one["name"] for one in studio.presets(stage="train")["mine"]} == {"a", "b", "c"}
