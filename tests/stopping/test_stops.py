"""Stops of real programs, at the moments at which people stop them: nothing is damaged, nobody is left behind."""

import os
import signal
import subprocess
import sys
import time

import psutil
import pytest

from tests.stopping.program import REPOSITORY, TRAIN, Program, gone

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no such signals")

LAUNCH = [str(REPOSITORY / "sd_scripts" / "launch.py"), "--num_processes=2", "--num_machines=1", "--multi_gpu",
          "--mixed_precision=no", "--dynamo_backend=no", "--quiet"]  # fmt: skip


@pytest.fixture
def at_work(made):
    """Starts programs, and lets none of them outlive the test."""
    programs = []

    def start(script, *options, **more):
        programs.append(Program(made, script, *options, **more))
        return programs[-1]

    yield start
    for program in programs:
        program.kill()


def resumable(program, output):
    """The states that the training left, each whole."""
    states = sorted(program.folder.glob(f"{output}/X-step*-state"))
    assert all((state / "state.json").is_file() for state in states)
    return states


def test_a_stop_while_it_loads_ends_at_once(at_work):
    program = at_work("fine_tune.py", *TRAIN, "--output_dir=loading", "--cache_latents")
    program.wait_phase("cache_latents")
    # As the page asks: no signal comes, and the work does not look yet.
    program.ask("stop")
    assert program.ends(20) == 0, program.said
    assert [event["event"] for event in program.told()][-1] == "stopped"
    assert not program.told("failed") and not resumable(program, "loading") and not program.parts()


def test_a_closed_terminal_is_a_stop_also_while_it_draws(at_work):
    drawing = ("--sample_prompts=prompts.txt", "--sample_every_n_steps=2")
    program = at_work("fine_tune.py", *TRAIN, "--output_dir=drawing", *drawing)
    program.wait_for(lambda: program.told("sample"))
    program.send(signal.SIGHUP)
    assert program.ends() == 0
    # It ended after a picture, not after all of them.
    assert 0 < len(program.told("sample")) < 30
    assert len(resumable(program, "drawing")) == 1 and not program.parts()
    assert "Go on with --resume" in program.told("stopped")[0]["sentence"]


def test_a_stop_of_the_launcher_reaches_every_process(at_work):
    program = at_work("fine_tune.py", *TRAIN, "--output_dir=two", before=LAUNCH)
    program.wait_steps(2)
    family = program.family()
    assert len(family) >= 2
    program.send(signal.SIGTERM)
    assert program.ends() == 0, program.said
    assert gone(family, 30)
    assert len(resumable(program, "two")) == 1
    assert [event["kind"] for event in program.told("saved")] == ["state"]
    assert not program.told("failed")
    # One process speaks for all.
    assert program.said.count("Stopping after the present step.") == program.said.count("Stopped as asked") == 1


READS = """
import sys, time
from pathlib import Path
from sd_scripts.library.data.read_ahead import read_ahead

def slow(item):
    print("reading", flush=True)
    time.sleep(600)

if __name__ == "__main__":
    list(read_ahead(list(range(64)), slow, 2))
"""


def test_workers_take_no_signal_and_end_with_a_killed_parent(tmp_path):
    (tmp_path / "reads.py").write_text(READS)
    environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
    command = [sys.executable, str(tmp_path / "reads.py")]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert [parent.stdout.readline() for _ in range(2)] == [b"reading\n"] * 2
        family = psutil.Process(parent.pid).children(recursive=True)
        assert len(family) >= 2
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            for one in family:
                one.send_signal(number)
        time.sleep(0.3)
        assert all(one.is_running() for one in family)
        parent.kill()
    assert gone(family, 30)


LAUNCHED = """
import sys, time
from pathlib import Path
from kohya_gui.tensorboard import TensorBoards

print(TensorBoards(Path(sys.argv[1]) / "tensorboard.json").start(Path(sys.argv[1])).pid, flush=True)
time.sleep(600)
"""


def test_tensorboard_ends_with_a_killed_page(tmp_path):
    command = [sys.executable, "-c", LAUNCHED, str(tmp_path)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE) as page:
        board = psutil.Process(int(page.stdout.readline()))
        page.kill()
    assert gone([board], 30)
