"""Store, queue and worker, with real processes of the fake trainer."""

import json
import time

import psutil
import pytest

from kohya_gui.runs.queue import Queue, waiting_reasons
from kohya_gui.runs.store import RunStore
from sd_scripts.library import systems
from sd_scripts.library.errors import BadOption


def reason(status):
    return status.outcome.reason.key if status.outcome.reason else status.outcome.sentence


def kill_worker(lab):
    worker = psutil.Process(json.loads(lab.store.worker_path.read_text())["pid"])
    worker.kill()
    deadline = time.monotonic() + 30
    while lab.store.worker_alive() and time.monotonic() < deadline:
        time.sleep(0.02)


def test_a_run_ends_and_its_folder_says_how(lab):
    run_id = lab.add("meadow")
    status = lab.wait(run_id)
    assert (status.state, status.outcome.exit_code) == ("done", 0)
    result = json.loads((lab.store.folder(run_id) / "result.json").read_text())
    assert result["ended"] >= result["started"]
    assert "Done." in lab.store.log_path(run_id).read_text()


def test_failures_say_why(lab):
    failed, died = lab.add("a", "--then", "fail"), lab.add("b", "--then", "die", devices=())
    missing = lab.add("c", argv=["/no/such/program"], devices=())
    assert reason(lab.wait(failed)) == "The loss is not a number."
    assert reason(lab.wait(died)) == "run.exit_code" and lab.store.status(died).outcome.exit_code == 7
    assert reason(lab.wait(missing)) == "run.cannot_start"


def test_stop_asks_and_the_run_ends_itself(lab):
    run_id = lab.add("long", "--steps", "10000")
    lab.wait_steps(run_id, 2)
    lab.queue.request(run_id, "stop")
    status = lab.wait(run_id)
    assert (status.state, status.outcome.exit_code, status.outcome.sentence) == ("stopped", 0, "Stopped as asked.")


@pytest.mark.parametrize(("request_", "key"), [("kill", "run.killed"), ("stop", "run.killed_after_grace")])
def test_a_hanging_run_is_killed(tmp_path, lab, request_, key):
    lab.queue.stop_grace_s = 0.3
    run_id = lab.add("deaf", "--steps", "1", "--then", "hang")
    lab.wait_steps(run_id, 1)
    process = lab.store.status(run_id).process
    lab.queue.request(run_id, request_)
    status = lab.wait(run_id)
    assert (status.state, reason(status)) == ("stopped", key)
    assert not systems.is_alive(process)


def test_a_killed_script_is_said_to_have_failed(lab):
    run_id = lab.add("victim", "--steps", "10000")
    lab.wait_steps(run_id, 1)
    psutil.Process(lab.store.status(run_id).process.pid).kill()
    status = lab.wait(run_id)
    assert (status.state, reason(status)) == ("failed", "run.ended_by_signal" if systems.LINUX else "run.exit_code")


def test_a_new_server_finds_the_running_run(lab):
    run_id = lab.add("long", "--steps", "10000")
    lab.wait_steps(run_id, 1)
    later = RunStore(lab.store.runs_dir)
    assert later.status(run_id).state == "running"
    Queue(later).request(run_id, "stop")
    assert lab.wait(run_id).state == "stopped"


def test_a_crashed_worker_harms_nothing_and_nothing_is_guessed(lab):
    run_id = lab.add("orphan", "--steps", "10000")
    waiting = lab.add("next")
    lab.wait_steps(run_id, 1)
    kill_worker(lab)
    assert lab.store.status(run_id).state == "running"
    psutil.Process(lab.store.status(run_id).process.pid).kill()
    lost = lab.wait(run_id, "failed")
    assert reason(lost) == "run.ended_without_result"
    lab.queue.wake()
    assert lab.wait(waiting).state == "done"
    assert reason(lab.store.status(run_id)) == "run.ended_without_result"


def test_a_new_worker_watches_what_the_old_one_left(lab):
    run_id = lab.add("orphan", "--steps", "10000")
    lab.wait_steps(run_id, 1)
    kill_worker(lab)
    waiting = lab.add("next")
    lab.queue.request(run_id, "stop")
    assert lab.wait(waiting).state == "done"
    assert lab.store.record(waiting).queued < lab.store.status(waiting).started


def test_two_runs_wait_for_one_device_and_light_ones_do_not(lab):
    first = lab.add("first", "--steps", "10000")
    second, light = lab.add("second"), lab.add("light", devices=())
    assert lab.wait(light).state == "done"
    statuses = {i: lab.store.status(i) for i in (first, second)}
    assert [s.state for s in statuses.values()] == ["running", "waiting"]
    why = waiting_reasons(lab.store)[second]
    assert (why.key, why.facts) == ("run.waits_for_device", {"device": "CPU", "name": "first", "stage": "train"})
    lab.queue.request(first, "stop")
    assert lab.wait(second).state == "done"
    assert lab.store.status(second).started >= lab.store.status(first).outcome.ended


def test_a_chain_stops_at_the_first_failure_and_retry_goes_on(lab):
    steps = [lab.step("a"), lab.step("b", "--then", "fail"), lab.step("c"), lab.step("d")]
    a, b, c, d = (record.id for record in lab.queue.add_chain(steps))
    assert lab.wait(d).state == "cancelled"
    assert [lab.store.status(i).state for i in (a, b, c)] == ["done", "failed", "cancelled"]
    assert [reason(lab.store.status(i)) for i in (c, d)] == ["run.after_failed", "run.after_cancelled"]
    lab.queue.request(b, "retry")
    again = lab.store.ids()[4:]
    assert [lab.store.record(i).name for i in again] == ["b", "c", "d"]


def test_cancel_takes_only_what_waits(lab):
    first, second = lab.add("first", "--steps", "10000"), lab.add("second")
    lab.wait(first, "running")
    lab.queue.request(second, "cancel")
    assert lab.store.status(second).state == "cancelled"
    with pytest.raises(BadOption):
        lab.queue.request(first, "cancel")
    lab.queue.request(first, "kill")
    lab.wait(first)


def test_the_worker_leaves_when_nothing_is_left(lab):
    run_id = lab.add("short")
    lab.wait(run_id)
    deadline = time.monotonic() + 30
    while lab.store.worker_alive() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not lab.store.worker_path.exists()


def test_a_run_waits_while_an_earlier_one_holds_its_device(lab):
    first = lab.store.record(lab.add("first", "--steps", "10000"))
    second, light = lab.store.record(lab.add("second")), lab.store.record(lab.add("light", devices=()))
    assert [lab.queue.waits(record) for record in (first, second, light)] == [False, True, False]
    lab.queue.request(first.id, "stop")
    lab.wait(second.id)
    assert not lab.queue.waits(second)
