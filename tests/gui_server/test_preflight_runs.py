"""Findings where runs begin: what waits is looked at once more, prompts are written, marks tell what is gone."""

import json
import os
import time
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file

from kohya_gui.api import Studio
from kohya_gui.runs.store import RunRecord
from kohya_gui.runs.turn import stands_against
from kohya_gui.state import project_state


@pytest.fixture
def values(studio: Studio, pictures: Path) -> dict[str, str]:
    return {"train_data_dir": str(pictures), "out_json": str(pictures.parent / "m.json")}


def ended(studio: Studio, run_id: str) -> dict:
    deadline = time.monotonic() + 30
    while (row := studio.run(run_id)["row"])["state"] not in ("done", "failed"):
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return row


def test_a_run_is_looked_at_once_more_when_its_turn_comes(studio: Studio, pictures: Path, values) -> None:
    studio.queue_pause(True)
    run_id = studio.start("merge_captions", values)["run_id"]
    for path in pictures.glob("*.caption"):
        path.unlink()
    studio.queue_pause(False)
    assert ended(studio, run_id)["state"] == "failed"
    said = {lang: studio.run(run_id, lang=lang)["failure"] for lang in ("en", "ja")}
    assert said["en"]["sentence"].endswith("No .caption files, but 2 .txt. Use .txt?")
    assert said["ja"]["sentence"].endswith(".caption がなく .txt が 2 個あります。.txt を使いますか。")
    assert said["en"]["option"] == "caption_extension"
    # Nothing was started.
    assert not (pictures.parent / "m.json").exists()
    assert said["en"]["tail"] == f"Error: {said['en']['sentence']}"


def test_a_run_of_another_program_is_not_looked_at() -> None:
    facts = {"id": "x", "name": "x", "title": "x", "work_dir": "/", "queued": 0.0, "argv": ["python", "own.py"]}
    assert stands_against(RunRecord(stage="train", values={"v2": True}, **facts)) is None
    assert stands_against(RunRecord(stage="example", values={"v2": True}, **facts)) is None
    ours = facts | {"argv": ["python", "/x/sd_scripts/fine_tune.py"]}
    assert stands_against(RunRecord(stage="train", **ours)) is None
    assert stands_against(RunRecord(stage="train", values={"v2": True}, **ours)).option == "in_json"


def test_confirmed_warnings_let_a_chain_begin(studio: Studio, pictures: Path, values) -> None:
    (pictures / "b.txt").unlink()
    given = values | {"caption_extension": ".txt"}
    asked = studio.start("merge_captions", given)
    read = [one["text"] for one in asked["findings"] if one["level"] == "warning"]
    assert len(read) == 1
    assert ended(studio, studio.start("merge_captions", given, confirm=read)["run_id"])["state"] == "done"


def test_a_rival_in_the_queue_leads_to_another_name(studio: Studio, values) -> None:
    studio.queue_pause(True)
    studio.start("merge_captions", values)
    (rival,) = [one for one in studio.start("merge_captions", values)["findings"] if one["level"] == "warning"]
    (fix,) = rival["fixes"]
    assert fix["label"] == "Rename to m-2.json" and fix["values"]["out_json"].endswith("m-2.json")
    assert "run_id" in studio.start("merge_captions", values | fix["values"])
    again = studio.start("merge_captions", values)["findings"]
    assert [one["fixes"][0]["label"] for one in again if one["level"] == "warning"] == ["Rename to m-3.json"]


def test_prompts_are_written_from_captions_as_they_are_trained(studio: Studio, pictures: Path) -> None:
    home = pictures.parent
    texts = ["a (red) --n meadow", "one\ntwo", "#three"]
    entries = {f"{i}": {"caption": text, "tags": "x"} for i, text in enumerate(texts)}
    (home / "meta.json").write_text(json.dumps(entries))
    given = {"in_json": str(home / "meta.json"), "caption_prefix": "sks", "output_dir": str(home / "out")}
    first = studio.write_prompts("train", given)
    assert Path(first["path"]) == home / "out" / "sample_prompts.txt"
    written = Path(first["path"]).read_text().splitlines()
    assert written == [r"sks a \(red\) -n meadow, x", "sks one, x", "sks #three, x"]
    assert Path(studio.write_prompts("train", given)["path"]).name == "sample_prompts-2.txt"
    assert studio.write_prompts("train", given | {"output_dir": ""})["field"] == "output_dir"
    assert studio.write_prompts("train", given | {"output_dir": "/elsewhere"})["field"] == "output_dir"
    assert "no captions yet" in studio.write_prompts("train", given | {"in_json": ""})["error"]


def test_latents_that_are_gone_turn_their_mark(studio: Studio, pictures: Path) -> None:
    home = pictures.parent
    model = home / "m.safetensors"
    save_file({"model.diffusion_model.input_blocks.0.0.weight": np.zeros(2)}, model)
    given = {"name": "x", "pictures": [str(pictures)], "work_dir": str(home / "work")}
    studio.project_save(given)
    (home / "work").mkdir(exist_ok=True)
    entries = {str(path): {"caption": "a", "train_resolution": [64, 64]} for path in pictures.glob("*.png")}
    (home / "work" / "meta_lat.json").write_text(json.dumps(entries))
    mark = lambda: project_state(studio._projects.get("x"), studio._queue.store, {})["tabs"]["latents"]  # noqa: E731
    assert mark() == "stale"
    for name in ("a", "b"):
        (pictures / f"{name}.npz").touch()
    assert mark() == "done"
    (pictures / "b.npz").unlink()
    assert mark() == "stale"
    (pictures / "b.npz").touch()
    assert mark() == "done"
    # A picture was edited since.
    os.utime(pictures / "b.png", (time.time() + 60, time.time() + 60))
    assert mark() == "stale"
