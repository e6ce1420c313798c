"""The order of the queue: moved, copied, edited, paused; the same for every process, and whole after a sudden end."""

import json
import os
import subprocess
import sys
import threading

import psutil
import pytest

from kohya_gui.monitor import Monitor
from kohya_gui.runs.queue import Queue, waiting_reasons
from kohya_gui.runs.store import RunStore
from kohya_gui.runs.worker import CLAIM_S, Worker, asked_at
from sd_scripts.library import systems
from sd_scripts.library.errors import BadOption
from tests.gui_server.conftest import REPO
from tests.gui_server.test_preflight import Place

LONG = ("--steps", "100000")


def waiting(lab):
    """Names of what waits, in order, as another process sees it."""
    store = RunStore(lab.store.runs_dir)
    return [store.record(i).name for i, status in store.unended().items() if status.state == "waiting"]


def chain(lab, *names):
    return [record.id for record in lab.queue.add_chain([lab.step(name) for name in names])]


@pytest.fixture
def paused(lab):
    """A lab whose queue starts nothing."""
    lab.queue.pause(True)
    return lab


def test_runs_move_one_place_to_the_front_or_before_another(paused):
    a, b, c = (paused.add(name) for name in "abc")
    assert waiting(paused) == ["a", "b", "c"]
    assert paused.queue.move(c, "up") == [c] and waiting(paused) == ["a", "c", "b"]
    paused.queue.move(c, "first")
    paused.queue.move(c, "up")
    assert waiting(paused) == ["c", "a", "b"]
    paused.queue.move(a, "down")
    paused.queue.move(a, "down")
    assert waiting(paused) == ["c", "b", "a"]
    paused.queue.move(a, c)
    paused.queue.move(a, a)
    assert waiting(paused) == ["a", "c", "b"]
    with pytest.raises(BadOption, match="no such place"):
        paused.queue.move(b, "20260101-000000-000-x")


def test_a_chain_moves_and_is_copied_as_a_whole(paused):
    a = paused.add("a")
    one, two, three = chain(paused, "1", "2", "3")
    assert paused.queue.move(two, "first") == [one, two, three]
    assert waiting(paused) == ["1", "2", "3", "a"]
    paused.queue.move(a, three)
    assert waiting(paused) == ["a", "1", "2", "3"]
    copies = paused.queue.duplicate(two)
    assert waiting(paused) == ["a", "1", "2", "3", "1", "2", "3"]
    records = [paused.store.record(i) for i in copies]
    assert [record.after for record in records] == [None, *copies[:2]]
    assert len({record.chain for record in records} | {paused.store.record(one).chain}) == 2
    paused.queue.duplicate(a)
    assert waiting(paused)[:2] == ["a", "a"]


def test_what_is_taken_out_takes_along_what_needs_it(paused):
    one, two, three = chain(paused, "1", "2", "3")
    other = paused.add("other")
    assert paused.queue.cancel(two) == [two, three]
    assert waiting(paused) == ["1", "other"]
    reasons = [paused.store.outcome(i).reason.key for i in (two, three)]
    assert reasons == ["run.cancelled_by_user", "run.after_cancelled"]
    with pytest.raises(BadOption, match="not waiting"):
        paused.queue.move(two, "first")
    again = paused.queue.request(two, "retry")
    assert waiting(paused) == ["1", "other", "2", "3"]
    paused.queue.move(again[0], other)
    assert waiting(paused) == ["1", "2", "3", "other"]


def test_a_paused_queue_lets_what_runs_go_on_and_starts_nothing(lab):
    running = lab.add("running", *LONG)
    lab.wait_steps(running, 1)
    lab.queue.pause(True)
    light = lab.add("light", devices=())
    assert lab.queue.waits(lab.store.record(light))
    assert [reason.key for reason in waiting_reasons(lab.store).values()] == ["run.waits_paused"]
    assert Monitor(lab.queue).row(light)["why"] == "The queue is paused."
    lab.queue.request(running, "stop")
    assert lab.wait(running).state == "stopped"
    # Another process, such as the page after a restart, finds it paused and starts no worker.
    later = Queue(RunStore(lab.store.runs_dir))
    later.wake()
    assert later.paused and not later.store.has_work()
    assert lab.store.status(light).state == "waiting"
    later.pause(False)
    assert lab.wait(light).state == "done"


def test_the_order_decides_what_runs_next_and_each_says_why_it_waits(lab):
    first = lab.add("first", *LONG)
    lab.wait_steps(first, 1)
    second, third = lab.add("second"), lab.add("third")
    lab.queue.move(third, "first")
    reasons = {lab.store.record(i).name: reason for i, reason in waiting_reasons(lab.store).items()}
    assert {reason.facts["name"] for reason in reasons.values()} == {"first"}
    lab.queue.request(first, "kill")
    lab.wait(second), lab.wait(third)
    assert lab.store.status(third).started < lab.store.status(second).started


def test_a_run_that_begins_while_it_is_asked_to_end_is_ended(lab):
    lab.queue.pause(True)
    run_id = lab.add("begins now", *LONG)
    me = systems.identify(os.getpid())
    lab.store.worker_path.write_text(json.dumps({"pid": me.pid, "created_s": me.created_s}))
    with lab.store.order.held(1.0):
        asking = threading.Thread(target=lab.queue.request, args=(run_id, "kill"))
        asking.start()
        asking.join(0.3)
        assert asking.is_alive(), "it waits for the queue, to take out what waits"
        assert lab.store.claim(run_id)
    asking.join()
    assert "kill" in asked_at(lab.store.control_path(run_id))
    assert lab.store.status(run_id).state == "running"
    lab.store.worker_path.unlink()


def test_of_two_that_could_begin_the_second_waits_for_its_turn(paused):
    paused.add("first")
    second = paused.add("second")
    order = paused.store.order
    order.path.write_text(json.dumps(json.loads(order.path.read_text()) | {"paused": False}))
    reason = waiting_reasons(paused.store)[second]
    assert (reason.key, reason.facts["name"]) == ("run.waits_for_turn", "first")


def test_new_settings_take_the_place_of_the_old_ones(paused):
    a, b = paused.add("a", "--steps", "1"), paused.add("b")
    paused.queue.replace(a, name="c", argv=paused.step("c", "--then", "fail")["argv"])
    assert waiting(paused) == ["c", "b"]
    paused.queue.pause(False)
    assert paused.wait(a).state == "failed" and paused.wait(b).state == "done"
    with pytest.raises(BadOption, match="not waiting"):
        paused.queue.replace(a, name="late")


def test_what_was_not_queued_whole_is_told_and_not_started(lab):
    lab.wait(lab.add("before"))
    torn = lab.store.create("train", "torn", title="", argv=["x"], work_dir=".", chain="1").id
    assert torn not in lab.store.unended() and not lab.store.has_work()
    after = lab.add("after")
    assert lab.store.status(torn).outcome.reason.key == "run.never_queued"
    assert lab.wait(after).state == "done"


def test_runs_from_before_the_order_was_kept_are_queued_by_their_age(lab):
    old = [lab.store.create("train", name, title="", argv=["x"], work_dir=".").id for name in "ab"]
    assert list(lab.store.unended()) == old and lab.store.has_work()
    with lab.queue.changing() as order:
        assert order.ids == old


ADDER = """
import sys
from pathlib import Path
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
queue = Queue(RunStore(Path(sys.argv[1])))
for i in range(int(sys.argv[2])):
    steps = [{"stage": "train", "name": f"{sys.argv[3]}{i}", "title": "", "argv": ["x"], "work_dir": "."}] * 2
    records = queue.add_chain(steps)
    queue.move(records[0].id, "first")
    print(*(record.id for record in records), flush=True)
"""


def test_several_processes_change_the_queue_and_one_of_them_is_killed(paused):
    runs_dir = paused.store.runs_dir
    start = [sys.executable, "-c", ADDER, str(runs_dir)]
    adders = [
        subprocess.Popen([*start, count, name], stdout=subprocess.PIPE, text=True, cwd=REPO)
        for count, name in (("6", "a"), ("6", "b"), ("10000", "killed"))
    ]
    told = [adders[2].stdout.readline() for _ in range(3)]
    adders[2].kill()
    told += [line for adder in adders for line in adder.communicate()[0].splitlines()]
    paused.add("last")
    queued = list(paused.store.unended())
    chains = [line.split() for line in told]
    assert all(set(chain) <= set(queued) for chain in chains if len(chain) == 2)
    assert len(queued) == len(set(queued))
    # Chains are whole and stand together, whoever was killed.
    by_chain = [paused.store.record(i).chain for i in queued[:-1]]
    assert all(one == two for one, two in zip(by_chain[::2], by_chain[1::2], strict=True))


def test_a_script_whose_worker_died_while_starting_it_is_found_again(lab):
    run_id = lab.store.create(**lab.step("orphan", *LONG)).id
    worker = Worker(lab.store, 60.0)
    assert lab.store.claim(run_id)
    claim = lab.store.folder(run_id) / "process.json"
    started = json.loads(claim.read_text())["started"] - 2 * CLAIM_S
    claim.write_text(json.dumps({"started": started, "pid": None, "created_s": None}))
    me = systems.identify(os.getpid())
    lab.store.worker_path.write_text(json.dumps({"pid": me.pid, "created_s": me.created_s}))
    record = lab.store.record(run_id)
    work = lab.store.runs_dir / "work"
    work.mkdir()
    facts = {"output": lab.store.log_path(run_id), "cwd": work, "env": worker._environment(run_id)}
    child = systems.start_detached(record.argv, **facts)
    threading.Thread(target=child.wait, daemon=True).start()
    lab.wait_steps(run_id, 1)
    worker.step()
    assert lab.store.status(run_id).process.pid == child.pid
    psutil.Process(child.pid).kill()
    child.wait()
    worker.step()
    lab.store.worker_path.unlink()
    assert lab.store.status(run_id).state == "failed"


def test_the_same_fit_asked_for_twice_is_tried_once(studio, tmp_path):
    studio.queue_pause(True)
    values = Place(tmp_path / "home").training()
    first = studio.fit("train", values)["run_id"]
    assert studio.fit("train", values)["run_id"] == first
    other = studio.fit("train", values | {"train_batch_size": 2})["run_id"]
    assert other != first
    studio.run_request(first, "cancel")
    assert studio.fit("train", values)["run_id"] not in (first, other)
    assert len(studio.runs()["history"]) == 1 and len(studio.runs()["queue"]) == 2
