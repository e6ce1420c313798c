"""What the launcher is told: as many processes as are asked for, in every way of asking."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from sd_scripts.library import launching
from sd_scripts.library.errors import BadOption
from sd_scripts.library.launching import Stops, as_asked
from sd_scripts.library.lost_team import SENTENCE, is_lost_team
from sd_scripts.library.systems import stop_signals

LAUNCH = Path(__file__).parents[2] / "sd_scripts" / "launch.py"


def told(*words):
    return as_asked(launch_command_parser().parse_args([*words, __file__]), "room")


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


def test_runs_on_one_machine_have_ports_of_their_own(tmp_path):
    assert told("--num_processes=2").main_process_port != told("--num_processes=2").main_process_port
    assert told("--main_process_port=29511").main_process_port == 29511
    assert told("--num_machines=2").main_process_port is None
    settings = tmp_path / "settings.yaml"
    begin = "compute_environment: LOCAL_MACHINE\ndistributed_type: MULTI_CPU\nmixed_precision: 'no'\nuse_cpu: false\n"
    for more, named in (("debug: false", False), ("num_machines: 2", True), ("main_process_port: 29512", True)):
        settings.write_text(f"{begin}{more}\n")
        assert (told("--config_file", str(settings)).main_process_port is None) == named


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


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--num_processes=0", __file__], "--num_processes 0:"),
        (["--cpu", "nosuch.py"], "nosuch.py: there is no such script."),
        (["--cpu"], "no script to start is named."),
        (["--num_processes=two", __file__], "argument --num_processes"),
    ],
)
def test_what_is_refused_is_one_sentence(words, said):
    done = subprocess.run([sys.executable, str(LAUNCH), *words], capture_output=True, text=True)
    assert done.returncode == 2 and done.stderr.startswith(f"Error: {said}")
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="Only Linux tells which signals a process hears.")
@pytest.mark.parametrize("trapped", ["-", ""], ids=["", "beside a shell"])
@pytest.mark.parametrize("sent", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_before_anything_is_started_ends_at_once(tmp_path, sent, trapped):
    script = tmp_path / "script.py"
    script.write_text("import time; time.sleep(600)")
    # Shells have what they start with & ignore Ctrl+C.
    shell = ["sh", "-c", f'trap "{trapped}" INT; exec "$@"', "sh"]
    command = [*shell, sys.executable, str(LAUNCH), "--cpu", str(script)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as launcher:
        while not hears(launcher.pid, signal.SIGTERM):
            time.sleep(0.01)
        launcher.send_signal(sent)
        said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 0 and said == "Stopped as asked.\n"


@pytest.fixture
def began(tmp_path):
    """A file that the script makes as soon as it runs, and the script."""
    (tmp_path / "script.py").write_text("open('began', 'w').close()")
    return tmp_path / "began", tmp_path / "script.py"


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals, and no sh.")
def test_a_stop_during_the_look_at_the_gpus_is_one_before_the_work(tmp_path, began):
    looks = tmp_path / "looks"
    (tmp_path / "nvidia-smi").write_text(f"#!/bin/sh\ntouch {looks}\nexec sleep 600\n")
    (tmp_path / "nvidia-smi").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}{os.pathsep}{os.environ['PATH']}", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, str(LAUNCH), "--cpu", "--num_processes=2", str(began[1])]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, cwd=tmp_path, env=env) as launcher:
        while not looks.exists() and launcher.poll() is None:
            time.sleep(0.01)
        launcher.send_signal(signal.SIGTERM)
        said = launcher.communicate(timeout=120)[1]
    assert launcher.returncode == 0 and said == "Stopped as asked.\n"
    assert not began[0].exists()


@pytest.fixture
def stops(monkeypatch):
    """Stops of the launcher, whose handlers are gone afterwards, as is what it puts into the packages underneath."""
    from accelerate.commands import launch
    from torch.distributed.elastic.multiprocessing import api

    monkeypatch.setattr(api, "_terminate_process_handler", api._terminate_process_handler)
    monkeypatch.setattr(launch, "check_cuda_p2p_ib_support", launch.check_cuda_p2p_ib_support)
    before = {number: signal.getsignal(number) for number in stop_signals()}
    yield Stops()
    for number, handler in before.items():
        signal.signal(number, handler)


def test_nothing_is_begun_where_a_stop_came_before(tmp_path, monkeypatch, began, stops, capsys):
    monkeypatch.setattr(sys, "argv", ["launch.py", "--cpu", str(began[1])])
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ACCELERATE_USE_CPU", "")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    # Another process than the work's heard it.
    stops.asked = True
    with pytest.raises(SystemExit) as ended:
        launching.launch(stops)
    assert ended.value.code == 0 and not began[0].exists()
    assert capsys.readouterr().err == "Stopped as asked.\n"


@pytest.mark.parametrize("quiet", [[], ["--quiet"]])
def test_how_a_script_ends_the_launcher_ends(tmp_path, monkeypatch, stops, quiet):
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit(2)")
    monkeypatch.setattr(sys, "argv", ["launch.py", *quiet, str(script)])
    assert launching.launch(stops) == 2


@pytest.mark.parametrize("code", [-signal.SIGTERM, -signal.SIGINT, 0xC000013A])
def test_a_process_that_hears_no_stop_yet_is_no_failure(code, capsys):
    """The last is what Windows ends a process with at Ctrl+C."""
    assert launching._failed("process 1", code, stop_asked=True) == 0
    assert launching._failed("process 1", code, stop_asked=False) != 0
    assert capsys.readouterr().err.startswith("Stopped as asked.\n")


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
    for _ in range(int(os.environ["STOPS"])):
        report.asked.ask("stop")
    if os.environ["RANK"] == "1":
        os.kill(os.getpid(), signal.SIGKILL)
    distributed.all_reduce(torch.ones(1))

run_program(Nothing, work)
"""


@pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")
@pytest.mark.parametrize(("stops", "code", "words"), [(0, 1, f"Error: {SENTENCE}"), (1, 130, "Interrupted.")])
def test_a_process_whose_partner_is_killed_says_one_sentence(tmp_path, stops, code, words):
    (tmp_path / "team.py").write_text(TEAM)
    command = [sys.executable, "-W", "ignore", "team.py", str(LAUNCH.parents[1])]
    both = [
        subprocess.Popen(
            command,
            cwd=tmp_path,
            env=dict(os.environ, RANK=rank, WORLD_SIZE="2", STOPS=str(stops)),
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in "01"
    ]
    said = [process.communicate(timeout=300)[1] for process in both]
    assert [process.returncode for process in both] == [code, -signal.SIGKILL]
    [told] = [line for line in said[0].splitlines() if not line.startswith("[Gloo]")]
    assert told == words


LEAVES = """
import atexit, os, sys, threading, time
from dataclasses import dataclass
sys.path.insert(0, sys.argv.pop())
from sd_scripts.library.program import run_program

@dataclass
class Nothing:
    pass

class Connection:
    def __del__(self, write=os.write):
        write(2, b"torn down")

def finish():
    time.sleep(0.2)
    print("thread")

def work(options, report):
    print("work")
    atexit.register(print, "end")
    threading.Thread(target=finish).start()

connection = Connection()
run_program(Nothing, work)
"""


def test_a_process_of_a_team_finishes_everything_but_is_not_torn_down(tmp_path):
    """Taking gloo's threads down now and then aborts a process whose partner has ended just before."""
    (tmp_path / "leaves.py").write_text(LEAVES)
    command = [sys.executable, "leaves.py", str(LAUNCH.parents[1])]
    team = dict(os.environ, RANK="1", WORLD_SIZE="2")
    done = subprocess.run(command, cwd=tmp_path, env=team, capture_output=True, text=True, timeout=300, check=True)
    assert done.stdout.split() == ["work", "thread", "end"]
    assert done.stderr == ""


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


@pytest.mark.parametrize("asked", [["--config_file", "/nonexistent.yaml"], ["--num_processes=2", "--use_deepspeed"]])
def test_what_the_launcher_lacks_is_one_sentence(asked, monkeypatch, stops, capsys):
    monkeypatch.setattr(sys, "argv", ["launch.py", *asked, "script.py"])
    # Without the package; where it is there, it starts the script, which is not.
    assert launching.launch(stops) != 0
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 1 and said[0].startswith("Error: ")
