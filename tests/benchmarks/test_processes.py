"""Processes have the cores that they are given, and what they hold is counted."""

import os
import subprocess
from types import SimpleNamespace

import pytest

from benchmarks import stopping
from benchmarks.processes import only_cores, run
from benchmarks.stopping import room
from benchmarks.tensors import most_and_last


def test_where_cores_cannot_be_chosen_all_are_used(monkeypatch):
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.delattr(os, "sched_setaffinity", raising=False)
    with only_cores(1):
        assert "OMP_NUM_THREADS" not in os.environ
    assert os.environ["OMP_NUM_THREADS"] == "1"


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be chosen here")
def test_what_is_started_has_the_first_cores():
    before = os.sched_getaffinity(0)
    with only_cores(1):
        assert run(["-c", "import os; print(len(os.sched_getaffinity(0)))"]).strip() == "1"
    assert os.sched_getaffinity(0) == before


def test_a_program_that_fails_is_quoted():
    with pytest.raises(SystemExit, match=r"Error: -c .* ended with 3:\nalas"):
        run(["-c", "import sys; print('alas', file=sys.stderr); sys.exit(3)"])


def test_what_is_started_works_in_the_room_and_goes_with_it(tmp_path):
    with room(tmp_path) as place:
        run(["-c", "import tempfile; tempfile.mkstemp()"])
        assert len(list(place.iterdir())) == 1
    assert list(tmp_path.iterdir()) == []


STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(flush=True); time.sleep(600)"


@pytest.mark.skipif(os.name == "nt", reason="nothing can be deaf there")
def test_a_program_that_does_not_end_is_ended(monkeypatch):
    monkeypatch.setattr(stopping, "GRACE_S", 0.1)
    with (
        pytest.raises(OSError, match="no time"),
        stopping.started(["-c", STUBBORN], patience_s=0.1, stdout=subprocess.PIPE) as process,
        process.stdout,
    ):
        process.stdout.readline()
        raise OSError("no time")
    assert process.returncode == -9


def test_the_most_bytes_between_two_moments():
    changes = [(30, -50), (10, 100), (20, 50), (50, 500), (40, 10)]
    events = [event(when, size) for when, size in changes]
    watched = SimpleNamespace(profiler=SimpleNamespace(kineto_results=SimpleNamespace(events=lambda: events)))
    assert most_and_last(watched) == (610, 610)
    assert most_and_last(watched, 25, 45) == (110, 110)
    assert most_and_last(watched, 15, 30) == (150, 100)


def event(when_ns, size):
    return SimpleNamespace(name=lambda: "[memory]", start_ns=lambda: when_ns, nbytes=lambda: size)
