"""The queue: the runs that wait, in order, why each one waits, and what is asked of a run."""

import json
import sys
import threading
import time
from pathlib import Path
from typing import Any

from kohya_gui.runs.store import Outcome, RunRecord, RunStore, Status
from kohya_gui.words import Reason, refusal
from sd_scripts.library import systems
from sd_scripts.library.events import REQUESTS, request_line

REPOSITORY = Path(__file__).resolve().parents[2]


class Queue:
    """Adds runs and asks things of them; the worker does the rest."""

    def __init__(self, store: RunStore, stop_grace_s: float = 180.0) -> None:
        self.store = store
        self.stop_grace_s = stop_grace_s

    def add(self, stage: str, name: str, **facts: Any) -> RunRecord:
        """Appends a run; it begins as soon as what it needs is free."""
        record = self.store.create(stage, name, **facts)
        self.wake()
        return record

    def add_chain(self, steps: list[dict[str, Any]]) -> list[RunRecord]:
        """Appends runs of which each one needs the one before it."""
        records: list[RunRecord] = []
        chain = f"{time.time():.3f}"
        for step in steps:
            after = records[-1].id if records else None
            records.append(self.store.create(**step, chain=chain, after=after))
        self.wake()
        return records

    def waits(self, record: RunRecord) -> bool:
        """Whether a run that was just added has to wait for a device that an earlier one uses or will use."""
        before = [i for i in self.store.ids() if i < record.id and self.store.status(i).outcome is None]
        return any(set(record.devices) & set(self.store.record(i).devices) for i in before)

    def wake(self) -> None:
        """Starts the worker if there is work and none lives."""
        if self.store.worker_alive() or not any(self.store.outcome(i) is None for i in self.store.ids()):
            return
        argv = [sys.executable, "-m", "kohya_gui.runs.worker", "--runs_dir", str(self.store.runs_dir)]
        argv += ["--stop_grace_s", str(self.stop_grace_s)]
        worker = systems.start_detached(argv, output=self.store.runs_dir / "worker.log", cwd=REPOSITORY)
        # Someone must collect its exit code, or it stays behind as a zombie.
        threading.Thread(target=worker.wait, daemon=True).start()

    def request(self, run_id: str, request: str) -> None:
        """Asks a run for something. Errors: BadOption, where that cannot be."""
        actions = {"cancel": self.cancel, "retry": self.retry, **dict.fromkeys((*REQUESTS, "kill"), None)}
        if request not in actions:
            raise refusal("request", "run.unknown_request", request=request)
        action = actions[request]
        if action:
            action(run_id)
        else:
            self._ask(run_id, request)

    def _ask(self, run_id: str, request: str) -> None:
        status = self.store.status(run_id)
        if status.state == "waiting" and request in ("stop", "kill"):
            return self.cancel(run_id)
        if status.state != "running":
            raise refusal("request", "run.not_running", name=self.store.record(run_id).name)
        line = json.dumps({"request": "kill", "time": time.time()}) + "\n"
        if request != "kill":
            line = request_line(request)  # type: ignore[arg-type]  # checked against REQUESTS by the caller
        with open(self.store.control_path(run_id), "a", encoding="utf-8") as stream:
            stream.write(line)
        self.wake()

    def cancel(self, run_id: str) -> None:
        """Takes a waiting run out of the queue. Errors: BadOption, when it no longer waits."""
        if self.store.status(run_id).state != "waiting" or not self.store.claim(run_id):
            raise refusal("request", "run.not_waiting", name=self.store.record(run_id).name)
        self.store.finish(run_id, Outcome(state="cancelled", ended=time.time(), reason=Reason("run.cancelled_by_user")))
        self.wake()

    def retry(self, run_id: str) -> None:
        """Queues a run again, with what its chain still owes after it. Errors: BadOption, while it is in the queue."""
        record = self.store.record(run_id)
        if self.store.status(run_id).outcome is None:
            raise refusal("request", "run.still_there", name=record.name)
        records = [record]
        if record.chain:
            later = [self.store.record(i) for i in self.store.ids() if i > run_id]
            records += [r for r in later if r.chain == record.chain and self.store.status(r.id).state == "cancelled"]
        self.add_chain([_again(r) for r in records])


def _again(record: RunRecord) -> dict[str, Any]:
    kept = (
        "stage",
        "name",
        "title",
        "argv",
        "work_dir",
        "values",
        "preset",
        "project",
        "devices",
        "versions",
        "dataset",
    )
    return {name: getattr(record, name) for name in kept}


def waiting_reason(record: RunRecord, store: RunStore, statuses: dict[str, Status]) -> Reason | None:
    """Why a waiting run cannot start now; None when it can. `statuses` are those of the runs that have not ended."""
    if record.after and record.after in statuses:
        return Reason("run.waits_for_run", named(store.record(record.after)))
    for run_id, status in statuses.items():
        other = store.record(run_id)
        shared = sorted(set(record.devices) & set(other.devices))
        if shared and status.state == "running":
            return Reason("run.waits_for_device", {"device": device_name(shared[0]), **named(other)})
    return None


def named(record: RunRecord) -> dict[str, str]:
    """The facts by which a reason names a run."""
    return {"name": record.name, "stage": record.stage}


def device_name(device: str) -> str:
    """A device as people call it: gpu:0 is GPU 0."""
    return "CPU" if device == "cpu" else device.replace("gpu:", "GPU ")
