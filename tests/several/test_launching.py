"""What the launcher is told: as many processes as are asked for, in every way of asking."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from sd_scripts.library.errors import BadOption
from sd_scripts.library.launching import as_asked

LAUNCH = Path(__file__).parents[2] / "sd_scripts" / "launch.py"


def told(*words):
    return as_asked(launch_command_parser().parse_args([*words, "script.py"]), "room")


@pytest.mark.parametrize(
    ("words", "several"),
    [
        ([], False),
        (["--num_processes=1"], False),
        (["--num_processes", "2"], True),
        (["--multi_gpu", "--num_processes=2"], True),
        (["--use_deepspeed", "--num_processes=2"], False),
    ],
)
def test_more_than_one_process_asked_for_are_several(words, several):
    asked = told(*words)
    # DeepSpeed has a launcher of its own for them.
    assert bool(asked.multi_gpu) == several and asked.log_dir == "room"


def test_several_processes_on_processors_find_no_gpu(monkeypatch):
    for name in ("ACCELERATE_USE_CPU", "CUDA_VISIBLE_DEVICES"):
        monkeypatch.setenv(name, "as before")
    asked = told("--cpu", "--num_processes=2")
    assert asked.multi_gpu and not asked.cpu
    assert (os.environ["ACCELERATE_USE_CPU"], os.environ["CUDA_VISIBLE_DEVICES"]) == ("true", "")


@pytest.mark.parametrize("count", [0, -1])
def test_fewer_than_one_process_are_refused(count):
    with pytest.raises(BadOption, match=f"--num_processes {count}: at least one process does the work."):
        told(f"--num_processes={count}")


def test_what_is_refused_is_one_sentence():
    command = [sys.executable, str(LAUNCH), "--num_processes=0", "script.py"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith("Error: --num_processes 0:")
    assert len(done.stderr.splitlines()) == 1
