"""What the launcher is told: as many processes as are asked for, in every way of asking."""

import os
import signal
import subprocess
import sys
import time
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


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Only Linux tells which signals a process hears.")
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_before_anything_is_started_ends_at_once(tmp_path, sent):
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(600)")
    command = [sys.executable, str(LAUNCH), "--cpu", str(script)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as launcher:
        while not hears(launcher.pid, signal.SIGTERM):
            time.sleep(0.01)
        launcher.send_signal(sent)
        said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 0 and said == "Stopped as asked, before it began.\n"


def hears(pid, number):
    """Whether a process has a handler of its own for a signal."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    caught = next(line.split()[1] for line in lines if line.startswith("SigCgt"))
    return int(caught, 16) >> (number - 1) & 1
