"""The launcher of a training: what it is told, which devices the run takes, and that a real one starts the script."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from kohya_gui import devices
from kohya_gui.checks import check
from kohya_gui.command import stage_argv
from kohya_gui.devices import Gpu
from kohya_gui.files import Roots
from kohya_gui.launch import run_facts
from kohya_gui.launching import LAUNCH, SETTINGS, gpus_named, launcher, processes
from kohya_gui.project import Project
from kohya_gui.stages import STAGES
from sd_scripts.library.events import EVENTS_VARIABLE

REPO = Path(__file__).resolve().parents[2]
TRAIN = STAGES["train"]


def test_nothing_is_launched_where_nothing_is_asked():
    assert launcher({}) == [sys.executable]
    assert stage_argv(TRAIN, {"seed": 1}, REPO)[1:] == [str(REPO / "sd_scripts/fine_tune.py"), "--seed", "1"]


@pytest.mark.parametrize(
    ("values", "count", "words"),
    [
        ({"gpu_ids": "0, 1"}, 2, ["--multi_gpu", "--gpu_ids=0,1", "--num_processes=2", "--num_machines=1"]),
        ({"gpu_ids": "1"}, 1, ["--gpu_ids=1", "--num_processes=1", "--num_machines=1"]),
        ({"num_processes": 4, "main_process_port": 29501}, 4,
         ["--multi_gpu", "--num_processes=4", "--main_process_port=29501", "--num_machines=1"]),
        ({"num_machines": 2, "machine_rank": 1, "main_process_ip": "10.0.0.1"}, 2,
         ["--multi_gpu", "--num_machines=2", "--machine_rank=1", "--main_process_ip=10.0.0.1", "--num_processes=2"]),
    ],
)  # fmt: skip
def test_the_launcher_is_told_what_was_typed(values, count, words):
    assert processes(values) == count
    fixed = ["--mixed_precision=no", "--dynamo_backend=no", f"--config_file={SETTINGS}", "--quiet"]
    assert launcher(values) == [sys.executable, LAUNCH, *words, *fixed]
    command = stage_argv(TRAIN, values | {"seed": 1}, REPO)
    assert command[-3:] == [str(REPO / "sd_scripts/fine_tune.py"), "--seed", "1"]


def test_a_list_of_gpus_is_numbers():
    assert gpus_named("0, 2,") == [0, 2] and gpus_named("") == gpus_named("all") == gpus_named("-1") == []


def test_a_run_takes_the_gpus_that_it_names(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: [Gpu("x", 8)] * 3)
    place = (Project(work_dir=str(tmp_path)), Roots([tmp_path]))
    named = check(TRAIN, {"gpu_ids": "0,2", "num_processes": "2"}, *place)
    assert run_facts(named, REPO, "x")["devices"] == ["gpu:0", "gpu:2"]
    assert not [one for one in named.findings if one.field in ("gpu_ids", "num_processes")]
    assert run_facts(check(TRAIN, {}, *place), REPO, "x")["devices"] == ["gpu:0", "gpu:1", "gpu:2"]
    more = check(TRAIN, {"gpu_ids": "0,2", "num_processes": "3"}, *place)
    assert [one.key for one in more.findings if one.field == "num_processes"] == ["check.processes"]


def test_without_a_gpu_processes_share_the_processor(tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "gpus", list)

    def said(stage=TRAIN, **typed):
        found = check(stage, typed, Project(work_dir=str(tmp_path)), Roots([tmp_path])).findings
        return [(one.level, one.key, one.fixes) for one in found if one.field == "num_processes"]

    for stage in (TRAIN, STAGES["tag_wd14"], STAGES["latents"]):
        assert said(stage, num_processes="2") == [("note", "check.on_processor", ())]
    assert said(num_processes="1") == []
    assert said(num_processes="2", num_machines="2") == []
    ((level, key, fixes),) = said(num_processes="1000")
    assert (level, key) == ("error", "check.processes_without_gpu")
    for fix in fixes:
        assert not [one for one in said(**fix.values) if one[0] == "error"]


def test_a_real_launcher_starts_the_script_which_tells_its_end(tmp_path):
    values = {"num_cpu_threads_per_process": 1, "pretrained_model_name_or_path": str(tmp_path / "none.safetensors")}
    events = tmp_path / "events.jsonl"
    environment = {"PATH": "", "HOME": str(tmp_path), EVENTS_VARIABLE: str(events)}
    done = subprocess.run(stage_argv(TRAIN, values, REPO), capture_output=True, text=True, env=environment)
    # The code of the script: what it was given does not do.
    assert done.returncode == 2 and "Traceback" not in done.stderr
    told = [json.loads(line) for line in events.read_text().splitlines()]
    assert any("in_json" in one.get("sentence", "") for one in told)
