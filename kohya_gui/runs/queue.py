"""The queue: the runs that wait, in order, why each one waits, and what is asked of a run."""

import json
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from kohya_gui.runs.order import Order
from kohya_gui.runs.store import Outcome, RunRecord, RunStore
from kohya_gui.words import Reason, refusal
from sd_scripts.library import systems
from sd_scripts.library.errors import BadOption
from sd_scripts.library.events import REQUESTS, request_line
from sd_scripts.library.io.atomic import open_for_lines, replacing
from sd_scripts.library.train.checks.output import check_samples
from sd_scripts.options.training import SampleOptions

REPOSITORY = Path(__file__).resolve().parents[2]


class Queue:
    """Adds runs, orders them and asks things of them; the worker does the rest.

    What waits of a chain is one entry: it moves and is copied as a whole. Every change is made under the lock of the
    queue. What is added counts from the moment in which the order lists it: a sudden end leaves no half of a chain.
    """

    def __init__(self, store: RunStore, stop_grace_s: float = 180.0, roots: Iterable[Path] = ()) -> None:
        self.store = store
        self._roots = list(roots)
        self.stop_grace_s = stop_grace_s

    def add(self, stage: str, name: str, **facts: Any) -> RunRecord:
        """Appends a run; it begins as soon as what it needs is free."""
        with self.changing() as order:
            (record,) = self._created([{"stage": stage, "name": name, **facts}])
            order.ids.append(record.id)
        self.wake()
        return record

    def add_once(self, stage: str, name: str, **facts: Any) -> RunRecord:
        """Appends a run, unless one that does the same waits or runs already: gives that one then."""
        with self.changing() as order:
            open_ones = map(self.store.record, self.store.unended())
            record = next((one for one in open_ones if (one.stage, one.argv) == (stage, facts["argv"])), None)
            if record is None:
                (record,) = self._created([{"stage": stage, "name": name, **facts}])
                order.ids.append(record.id)
        self.wake()
        return record

    def add_chain(self, steps: list[dict[str, Any]]) -> list[RunRecord]:
        """Appends runs of which each one needs the one before it."""
        with self.changing() as order:
            records = self._created(steps, chain=f"{time.time():.3f}")
            order.ids += [record.id for record in records]
        self.wake()
        return records

    def waits(self, record: RunRecord) -> bool:
        """Whether a run that was just added has to wait: for a run before it, for a device, or as all is paused."""
        reason = waiting_reasons(self.store).get(record.id)
        return reason is not None

    def wake(self) -> None:
        """Starts the worker if there is work and none lives."""
        if self.store.worker_alive() or not self.store.has_work():
            return
        argv = [sys.executable, "-m", "kohya_gui.runs.worker", "--runs_dir", str(self.store.runs_dir)]
        argv += ["--stop_grace_s", str(self.stop_grace_s)]
        argv += [word for root in self._roots for word in ("--root", str(root))]
        worker = systems.start_detached(argv, output=self.store.runs_dir / "worker.log", cwd=REPOSITORY)
        # Someone must collect its exit code, or it stays behind as a zombie.
        threading.Thread(target=worker.wait, daemon=True).start()

    @property
    def paused(self) -> bool:
        """Whether nothing new starts."""
        order = self.store.order.read()
        return order is not None and order.paused

    def pause(self, paused: bool) -> None:
        """Keeps what waits from starting, or lets it; what runs goes on."""
        with self.changing() as order:
            order.paused = paused
        self.wake()

    def request(self, run_id: str, request: str) -> list[str]:
        """Asks a run for something; gives the runs that were added or taken out by it.

        Errors: BadOption, where that cannot be.
        """
        actions: dict[str, Callable[[str], list[str]]] = {
            "cancel": self.cancel,
            "retry": self.retry,
            "duplicate": self.duplicate,
        }
        if request in actions:
            return actions[request](run_id)
        if request not in (*REQUESTS, "kill") or request == "save_elsewhere":
            raise refusal("request", "run.unknown_request", request=request)
        return self._ask(run_id, request)

    def _ask(self, run_id: str, request: str) -> list[str]:
        if request in ("stop", "kill") and self.store.status(run_id).state == "waiting":
            try:
                return self.cancel(run_id)
            except BadOption:
                # It began while the queue was not ours yet: then it is stopped.
                if self.store.status(run_id).state == "waiting":
                    raise
        if self.store.status(run_id).state != "running":
            raise refusal("request", "run.not_running", name=self.store.record(run_id).name)
        line = json.dumps({"request": "kill", "time": time.time()}) + "\n"
        if request != "kill":
            line = request_line(request)  # type: ignore[arg-type]  # checked against REQUESTS by the caller
        self._tell(run_id, line)
        return []

    def sample(self, run_id: str, prompts: str) -> None:
        """Asks a training for samples of these prompts, one a line, now and from now on.

        Errors: BadOption, when it does not run or the prompts cannot be read.
        """
        if self.store.status(run_id).state != "running":
            raise refusal("request", "run.not_running", name=self.store.record(run_id).name)
        path = self.store.prompts_path(run_id)
        with replacing(path) as beside:
            beside.write_text(prompts, encoding="utf-8")
            try:
                check_samples(SampleOptions(sample_prompts=str(beside)))
            except BadOption as error:
                raise BadOption("prompts", str(error).replace(str(beside), path.name)) from error
        self._tell(run_id, request_line("sample", str(path)))

    def save_elsewhere(self, run_id: str, folder: Path) -> None:
        """Has a run that waits for room save into another folder from now on. Errors: BadOption."""
        if self.store.status(run_id).state != "running":
            raise refusal("request", "run.not_running", name=self.store.record(run_id).name)
        self._tell(run_id, request_line("save_elsewhere", folder=str(folder)))

    def _tell(self, run_id: str, line: str) -> None:
        with open_for_lines(self.store.control_path(run_id)) as stream:
            stream.write(line)
        self.wake()

    def cancel(self, run_id: str) -> list[str]:
        """Takes a waiting run out of the queue, and those that need it; gives all of them.

        Errors: BadOption, when it no longer waits.
        """
        with self.changing() as order:
            self._waiting(run_id)
            gone = {run_id: Reason("run.cancelled_by_user")}
            for other in order.ids:
                after = self.store.record(other).after
                if after in gone:
                    gone[other] = Reason("run.after_cancelled", named(self.store.record(after)))
            # The last ones first: should this be cut short, nothing is left that would wait for what is gone.
            for one, reason in reversed(gone.items()):
                self.store.finish(one, Outcome(state="cancelled", ended=time.time(), reason=reason))
            order.ids = [one for one in order.ids if one not in gone]
        self.wake()
        return list(gone)

    def move(self, run_id: str, to: str) -> list[str]:
        """Moves a waiting run with what waits of its chain; gives all that moved.

        `to`: first, up, down, last, or the run that it shall come before. Errors: BadOption, when it no longer waits.
        """
        with self.changing() as order:
            self._waiting(run_id)
            entries = self._entries(order)
            at = next(i for i, entry in enumerate(entries) if run_id in entry)
            moved = entries.pop(at)
            places = {"first": 0, "up": max(0, at - 1), "down": at + 1, "last": len(entries)}
            place = places.get(to)
            if place is None:
                place = at if to in moved else next((i for i, entry in enumerate(entries) if to in entry), None)
            if place is None:
                raise refusal("to", "run.no_place", to=to)
            entries.insert(place, moved)
            waiting = [one for entry in entries for one in entry]
            order.ids = [one for one in order.ids if one not in waiting] + waiting
        return moved

    def duplicate(self, run_id: str) -> list[str]:
        """Copies a run: a waiting one behind it, with what waits of its chain; any other at the end. The copies."""
        with self.changing() as order:
            entry = next((entry for entry in self._entries(order) if run_id in entry), [run_id])
            before = [self.store.record(one) for one in entry]
            # What a copy needs is still to come only where the first of the chain already runs.
            after = before[0].after if before[0].after in order.ids else None
            copies = self._created([_again(r) for r in before], f"{time.time():.3f}" if len(entry) > 1 else None, after)
            place = order.ids.index(entry[-1]) + 1 if entry[-1] in self._waits(order) else len(order.ids)
            order.ids[place:place] = [record.id for record in copies]
        self.wake()
        return [record.id for record in copies]

    def replace(self, run_id: str, **facts: Any) -> None:
        """Gives a waiting run other settings; its place stays. Errors: BadOption, when it no longer waits."""
        with self.changing():
            self._waiting(run_id)
            self.store.change(run_id, **facts)

    def retry(self, run_id: str) -> list[str]:
        """Queues a run again, with what its chain still owes after it; gives the new ones.

        Errors: BadOption, while it is in the queue.
        """
        record = self.store.record(run_id)
        status = self.store.status(run_id)
        if status.outcome is None:
            raise refusal("request", "run.still_there", name=record.name)
        records = [record]
        if record.chain and status.state != "done":
            later = [self.store.record(i) for i in self.store.ids() if i > run_id]
            records += [r for r in later if r.chain == record.chain and self.store.status(r.id).state == "cancelled"]
        return [again.id for again in self.add_chain([_again(r) for r in records])]

    @contextmanager
    def changing(self) -> Iterator[Order]:
        """Gives the order of the queue to change, put right; nothing starts meanwhile."""
        with self.store.order.changing() as order:
            open_ids = [run_id for run_id in self.store.ids() if self.store.outcome(run_id) is None]
            if self.store.order.read() is None:
                order.ids = open_ids
            for run_id in open_ids:
                if run_id not in order.ids and self.store.status(run_id).state == "waiting":
                    # Whoever added it was ended before it was in the queue: nobody was told that it waits.
                    reason = Reason("run.never_queued")
                    self.store.finish(run_id, Outcome(state="cancelled", ended=time.time(), reason=reason))
            order.ids = [run_id for run_id in order.ids if run_id in open_ids]
            yield order

    def _created(
        self, steps: list[dict[str, Any]], chain: str | None = None, after: str | None = None
    ) -> list[RunRecord]:
        records: list[RunRecord] = []
        for step in steps:
            needed = records[-1].id if records else after
            records.append(self.store.create(**step, chain=chain, after=needed))
        return records

    def _waiting(self, run_id: str) -> None:
        if self.store.status(run_id).state != "waiting":
            raise refusal("request", "run.not_waiting", name=self.store.record(run_id).name)

    def _waits(self, order: Order) -> list[str]:
        return [run_id for run_id in order.ids if self.store.status(run_id).state == "waiting"]

    def _entries(self, order: Order) -> list[list[str]]:
        """What waits, in order: runs of the same chain together."""
        entries: dict[str, list[str]] = {}
        for run_id in self._waits(order):
            entries.setdefault(self.store.record(run_id).chain or run_id, []).append(run_id)
        return list(entries.values())


def _again(record: RunRecord) -> dict[str, Any]:
    if record.damaged:
        raise refusal("request", "run.damaged")
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


def waiting_reasons(store: RunStore) -> dict[str, Reason | None]:
    """Of every waiting run, in order, why it cannot start now; None when it can, or need not wait any more."""
    statuses = store.unended()
    records = {run_id: store.record(run_id) for run_id in statuses}
    order = store.order.read()
    taken: dict[str, tuple[str, RunRecord]] = {}
    reasons: dict[str, Reason | None] = {}
    for run_id, record in records.items():
        if statuses[run_id].state == "running":
            taken |= dict.fromkeys(record.devices, ("run.waits_for_device", record))
            continue
        before = store.outcome(record.after) if record.after else None
        doomed = before is not None and before.state != "done"
        reasons[run_id] = None if doomed else _reason(record, records, taken, order is not None and order.paused)
        if reasons[run_id] is None and not doomed:
            taken |= dict.fromkeys(record.devices, ("run.waits_for_turn", record))
    return reasons


def _reason(
    record: RunRecord, records: dict[str, RunRecord], taken: dict[str, tuple[str, RunRecord]], paused: bool
) -> Reason | None:
    if paused:
        return Reason("run.waits_paused")
    if record.after in records:
        return Reason("run.waits_for_run", named(records[record.after]))
    device = next((device for device in sorted(record.devices) if device in taken), None)
    if device:
        key, other = taken[device]
        return Reason(key, {"device": device_name(device), **named(other)})
    return None


def named(record: RunRecord) -> dict[str, str]:
    """The facts by which a reason names a run."""
    return {"name": record.name, "stage": record.stage}


def device_name(device: str) -> str:
    """A device as people call it: gpu:0 is GPU 0."""
    return "CPU" if device == "cpu" else device.replace("gpu:", "GPU ")
