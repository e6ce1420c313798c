"""Processes: started to outlive us, and stopped with everything they started."""

import json
import os
import subprocess
import sys
import time

import pytest

from sd_scripts.library import systems
from sd_scripts.library.systems import ProcessId

# Each level ignores the polite request, starts the next one and writes its number down.
STUBBORN = """
import os, pathlib, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
folder, depth = sys.argv[1], int(sys.argv[2])
if depth:
    subprocess.Popen([sys.executable, __file__, folder, str(depth - 1)])
pathlib.Path(folder, f"pid{depth}").write_text(str(os.getpid()))
time.sleep(60)
"""
# Starts a process that stays, and ends at once.
DESERTER = """
import pathlib, subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
pathlib.Path(sys.argv[1], "pid0").write_text(str(child.pid))
"""
POLITE = """
import pathlib, signal, sys, time
def end(number, frame):
    pathlib.Path(sys.argv[1], "saved").write_text("state")
    sys.exit(7)
signal.signal(signal.SIGTERM, end)
pathlib.Path(sys.argv[1], "pid0").write_text("ready")
time.sleep(60)
"""


def wait_for(path):
    deadline = time.monotonic() + 20
    while not (path.exists() and path.read_text()):
        assert time.monotonic() < deadline, f"{path.name} did not appear"
        time.sleep(0.02)
    return path.read_text()


def launch(tmp_path, code, *args):
    script = tmp_path / "script.py"
    script.write_text(code)
    argv = [sys.executable, str(script), str(tmp_path), *args]
    return systems.start_detached(argv, output=tmp_path / "log.txt")


@pytest.mark.skipif(systems.WINDOWS, reason="signals")
def test_children_and_grandchildren_that_ignore_the_request_are_killed(tmp_path):
    process = launch(tmp_path, STUBBORN, "2")
    family = [systems.identify(int(wait_for(tmp_path / f"pid{depth}"))) for depth in (2, 1, 0)]
    assert None not in family
    assert family[0].pid == process.pid
    assert systems.stop_tree(family[0], grace_s=0.2)
    assert not [member for member in family if systems.is_alive(member)]
    assert process.wait() != 0


@pytest.mark.skipif(systems.WINDOWS, reason="sessions")
def test_a_process_whose_parent_has_gone_is_found_by_its_session(tmp_path):
    process = launch(tmp_path, DESERTER)
    started = ProcessId(process.pid, time.time())
    left_behind = systems.identify(int(wait_for(tmp_path / "pid0")))
    process.wait()
    assert systems.is_alive(left_behind)
    systems.stop_tree(started, grace_s=2)
    assert not systems.is_alive(left_behind)


@pytest.mark.skipif(systems.WINDOWS, reason="signals")
def test_a_polite_process_has_its_time_and_keeps_its_exit_code(tmp_path):
    process = launch(tmp_path, POLITE)
    wait_for(tmp_path / "pid0")
    started_s = time.monotonic()
    systems.stop_tree(systems.identify(process.pid), grace_s=20)
    assert time.monotonic() - started_s < 10
    assert process.wait() == 7
    assert (tmp_path / "saved").read_text() == "state"


def test_a_number_that_was_given_out_again_is_somebody_else(tmp_path):
    process = launch(tmp_path, "import time; time.sleep(60)")
    real = systems.identify(process.pid)
    earlier = ProcessId(real.pid, real.created_s - 1000)
    assert not systems.is_alive(earlier)
    systems.stop_tree(earlier, grace_s=0)
    assert systems.is_alive(real)
    systems.stop_tree(real, grace_s=0)
    process.wait()


def test_what_cannot_be_killed_is_told_and_not_waited_for(tmp_path, monkeypatch):
    process = launch(tmp_path, "import time; time.sleep(60)")
    real = systems.identify(process.pid)
    with monkeypatch.context() as patch:
        patch.setattr(systems, "_ask_to_end", lambda process: None)
        patch.setattr(systems, "_kill", lambda process: None)
        patch.setattr(systems, "_KILL_S", 0.2)
        assert not systems.stop_tree(real, grace_s=0)
    assert systems.stop_tree(real, grace_s=0)
    process.wait()


def test_an_ended_process_that_nobody_has_collected_is_not_alive(tmp_path):
    process = launch(tmp_path, "")
    identity = ProcessId(process.pid, time.time())
    deadline = time.monotonic() + 20
    while systems.is_alive(identity) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not systems.is_alive(identity)
    assert systems.identify(process.pid) is None
    assert process.wait() == 0


def test_a_detached_process_outlives_its_starter_and_writes_its_output(tmp_path):
    starter = tmp_path / "starter.py"
    starter.write_text(
        "import pathlib, sys\n"
        f"sys.path.insert(0, {os.getcwd()!r})\n"
        "from sd_scripts.library import systems\n"
        "code = 'import os, time; print(os.environ[\"WORD\"], os.getcwd(), flush=True); time.sleep(60)'\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "argv = [sys.executable, '-c', code]\n"
        "print(systems.start_detached(argv, output=folder / 'log', cwd=folder, env={'WORD': '猫'}).pid)\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", str(starter), str(tmp_path)], capture_output=True, text=True, check=True
    )
    child = systems.identify(int(done.stdout))
    try:
        assert child is not None
        assert wait_for(tmp_path / "log").split() == ["猫", str(tmp_path)]
    finally:
        systems.stop_tree(child, grace_s=1)


@pytest.mark.skipif(systems.WINDOWS, reason="replaces the process")
def test_handing_over_passes_arguments_and_exit_code_on():
    code = (
        "import sys; from sd_scripts.library import systems; print('before')\n"
        "code = 'import sys, json; print(json.dumps(sys.argv[1:])); sys.exit(5)'\n"
        "systems.hand_over([sys.executable, '-c', code, 'a b'])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 5
    first, second = done.stdout.splitlines()
    assert (first, json.loads(second)) == ("before", ["a b"])


def test_display(monkeypatch):
    monkeypatch.setattr(systems, "LINUX", True)
    assert not systems.has_display({})
    assert systems.has_display({"DISPLAY": ":0"})
    assert systems.has_display({"WAYLAND_DISPLAY": "wayland-0"})
    monkeypatch.setattr(systems, "LINUX", False)
    assert systems.has_display({})
    assert not systems.has_display({"SSH_CONNECTION": "1.2.3.4 5 6.7.8.9 22"})


def test_data_folder_follows_the_desktops_rule(monkeypatch, tmp_path):
    monkeypatch.setattr(systems, "WINDOWS", False)
    monkeypatch.setattr(systems, "MAC", False)
    home = systems.Path.home()
    assert systems.user_data_folder({"XDG_DATA_HOME": str(tmp_path)}) == tmp_path
    assert systems.user_data_folder({}) == home / ".local" / "share"
    assert systems.user_data_folder({"XDG_DATA_HOME": "relative"}) == home / ".local" / "share"
