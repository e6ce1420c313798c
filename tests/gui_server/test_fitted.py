"""Fit to the memory: what the last such run says of the settings that stand in the form."""

import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from kohya_gui import devices
from kohya_gui.checks import check
from kohya_gui.files import Roots
from kohya_gui.fitted import add_found, fit_facts
from kohya_gui.monitor import Monitor
from kohya_gui.project import Project
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import Outcome, RunStore
from kohya_gui.stages import STAGES
from sd_scripts.library import events
from sd_scripts.options.spec import flat_values, from_values

HAD = {"train_batch_size": 4, "resolution": "512,512"}


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def tried(store: RunStore, had: dict[str, Any] = HAD, **chosen: Any) -> str:
    """A run that has tried some settings, and chose some others."""
    rows = [{"option": flag, "value": value} for flag, value in chosen.items()]
    values = flat_values(from_values(STAGES["train"].options, had))
    facts = {"title": "Fit", "argv": ["x"], "work_dir": ".", "values": values, "project": None}
    run_id = store.create("fit_train", "meadow", **facts).id
    told = events.Summary(counts={"tried": 3}, tables={"tried": [{"settings": "as it is"}], "chosen": rows})
    store.events_path(run_id).write_text(events.to_line(told) + "\n")
    store.finish(run_id, Outcome(state="done"))
    return run_id


def said(store: RunStore, **typed: object) -> list[tuple[str, list[dict[str, object]]]]:
    """What is said of it, each with what its buttons set."""
    checked = check(STAGES["train"], HAD | typed, Project(work_dir=str(store.runs_dir)), Roots([store.runs_dir]))
    before = len(checked.findings)
    add_found(checked, store)
    return [(one.key, [fix.values for fix in one.fixes]) for one in checked.findings[before:]]


def test_what_is_faster_is_offered_until_it_stands_in_the_form(store: RunStore) -> None:
    tried(store, gradient_checkpointing=True, train_batch_size=2)
    assert said(store) == [("fit.found", [{"gradient_checkpointing": True, "train_batch_size": 2}])]
    assert said(store, train_batch_size="2") == [("fit.found", [{"gradient_checkpointing": True}])]
    assert said(store, train_batch_size="2", gradient_checkpointing=True) == [("fit.best", [])]


def test_an_option_that_was_left_out_is_emptied_in_the_form(store: RunStore) -> None:
    levels: dict[str, Any] = {"gradient_checkpointing": True, "gradient_checkpointing_levels": 2}
    chosen = {"gradient_checkpointing": False, "gradient_checkpointing_levels": None}
    tried(store, HAD | levels, **chosen)
    assert said(store, **levels) == [("fit.found", [chosen])]
    checked = check(STAGES["train"], HAD | levels, Project(work_dir=str(store.runs_dir)), Roots([store.runs_dir]))
    add_found(checked, store)
    told = checked.findings[-1]
    assert told.text.endswith("Save memory off, Recompute only in empty.")
    # Once it is taken, the form asks for what was chosen, and nothing refuses it.
    mended = checked.draft.mended(told.fixes[0])
    assert [mended.get(flag) for flag in chosen] == [False, None]
    assert said(store) == [("fit.best", [])]


def test_that_the_present_settings_are_the_fastest_is_said_too(store: RunStore) -> None:
    tried(store, gradient_checkpointing=True)
    tried(store)
    assert said(store) == [("fit.best", [])]
    assert said(store, resolution="768,768") == said(store, train_batch_size="8") == []


def test_what_is_neither_as_it_was_nor_as_chosen_is_another_question(store: RunStore) -> None:
    tried(store, train_batch_size=1, gradient_accumulation_steps=4)
    assert said(store) == [("fit.found", [{"train_batch_size": 1, "gradient_accumulation_steps": 4}])]
    assert said(store, train_batch_size="1", gradient_accumulation_steps="4") == [("fit.best", [])]
    assert said(store, train_batch_size="8") == said(store, gradient_accumulation_steps="2") == []
    # Half of it would be steps of one picture, or of sixteen.
    assert said(store, train_batch_size="1") == said(store, gradient_accumulation_steps="4") == []


def test_steps_are_tried_on_the_first_of_the_named_gpus(tmp_path: Path) -> None:
    """It is the only one that is locked, and that the program sees."""
    program = tmp_path / "sd_scripts" / "tools" / "fit_memory.py"
    program.parent.mkdir(parents=True)
    (tmp_path / "pyproject.toml").write_text("[project]\nversion = '1'")
    program.write_text("import os, sys; print(os.environ['CUDA_VISIBLE_DEVICES'], *sys.argv[1:4])")
    roots, project = Roots([tmp_path]), Project(work_dir=str(tmp_path))
    facts = fit_facts(check(STAGES["train"], HAD | {"gpu_ids": "3,1", "num_processes": 2}, project, roots), tmp_path)
    assert facts["devices"] == ["gpu:3"] and not [word for word in facts["argv"] if "multi_gpu" in word]
    done = subprocess.run(facts["argv"], capture_output=True, text=True, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert (done.returncode, done.stdout) == (0, "3 --training fine_tune.py --\n"), done.stderr
    facts = fit_facts(check(STAGES["train"], HAD, project, roots), tmp_path)
    assert facts["devices"] == devices.names() and facts["argv"][1] == str(program)


def test_such_a_run_is_named_after_its_training(store: RunStore) -> None:
    run_id = tried(store)
    (row,) = Monitor(Queue(store)).runs()["history"]
    assert (row["id"], row["title"]) == (run_id, "Fit to the memory: Fine-tuning")
