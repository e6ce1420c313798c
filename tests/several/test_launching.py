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
from sd_scripts.library.lost_team import SENTENCE, is_lost_team

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


TEAM = """
import os, signal, sys
from dataclasses import dataclass
sys.path.insert(0, sys.argv.pop())
from sd_scripts.library.program import run_program

@dataclass
class Nothing:
    pass

def work(options, report):
    import torch
    from torch import distributed
    distributed.init_process_group("gloo", init_method="file://" + os.path.abspath("meeting"),
                                   rank=int(os.environ["RANK"]), world_size=2)
    distributed.all_reduce(torch.ones(1))
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.all_reduce(torch.ones(1))

run_program(Nothing, work)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
def test_a_process_whose_partner_is_killed_says_one_sentence(tmp_path):
    (tmp_path / "team.py").write_text(TEAM)
    command = [sys.executable, "-W", "ignore", "team.py", str(LAUNCH.parents[1])]
    both = [
        subprocess.Popen(
            command, cwd=tmp_path, env=dict(os.environ, RANK=rank, WORLD_SIZE="2"), stderr=subprocess.PIPE, text=True
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [1, -signal.SIGKILL]
    [told] = [line for line in said[0].splitlines() if not line.startswith("[Gloo]")]
    assert told == f"Error: {SENTENCE}"


@pytest.mark.parametrize(
    ("words", "lost"),
    [
        ("[/pytorch/third_party/gloo/gloo/transport/tcp/pair.cc:547] Connection closed by peer [127.0.0.1]:7", True),
        ("Read error [127.0.0.1]:7: Connection reset by peer (gloo/transport/tcp/pair.cc)", True),
        ("NCCL error in: ProcessGroupNCCL.cpp:27, remote process exited or there was a network error", True),
        ("failed to recv, got 0 bytes. Connection was likely closed. Did the remote server crash? (Socket)", True),
        ("broken pipe between two layers", False),
        ("mat1 and mat2 shapes cannot be multiplied", False),
    ],
)
def test_which_errors_say_that_a_partner_is_gone(words, lost):
    assert is_lost_team(RuntimeError(words)) == lost
