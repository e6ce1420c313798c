"""The runs as the page shows them: rows, progress, charts, samples, log, and the words for how they stand."""

import os
import time
from collections import OrderedDict
from dataclasses import asdict
from typing import Any

from kohya_gui.command import texts
from kohya_gui.files import image_url
from kohya_gui.fitted import PREFIX
from kohya_gui.form import as_typed
from kohya_gui.remedies import option_to_blame, remedies
from kohya_gui.runs import log
from kohya_gui.runs.events import PhaseView, RunView
from kohya_gui.runs.queue import Queue, device_name, waiting_reasons
from kohya_gui.runs.store import Outcome, RunRecord, Status
from kohya_gui.stages import TRAINERS
from kohya_gui.ways_on import ways_on
from kohya_gui.words import Reason, from_program, refusal, say, say_or, say_reason, size
from sd_scripts.library import events

# So long a phase may be silent before that is said; one that was silent for long before, three times as long.
QUIET_S = {"download": 600.0, "load_model": 300.0, "export": 300.0, "save": 300.0, "upload": 900.0}
QUIET_OTHERWISE_S = 120.0
# A first step may compile the model.
QUIET_FIRST_STEP_S = 300.0
TRAINING_AHEAD = ("train", "save")
KEPT_VIEWS = 16
TAIL_LINES = 30

Json = dict[str, Any]


class Monitor:
    """Reads runs for the page; what has been read of a run is kept for the next look."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.store = queue.store
        self._views: OrderedDict[str, RunView] = OrderedDict()

    def runs(self) -> Json:
        """What runs and waits, in order; what has ended, the newest first."""
        unended, reasons = self.store.unended(), waiting_reasons(self.store)
        ended = {i: self.store.status(i) for i in reversed(self.store.ids()) if i not in unended}
        return {
            "queue": [self._row(run_id, status, reasons) for run_id, status in unended.items()],
            "history": [self._row(run_id, status, {}) for run_id, status in ended.items() if status.outcome],
            "paused": self.queue.paused,
            "trouble": say("run.order_damaged") if self.store.order.was_damaged else "",
        }

    def poll(self, run_id: str | None, since_event: int, log_offset: int) -> Json:
        """What the page asks again and again: the active run's row, and the run that it shows."""
        unended = self.store.unended()
        waiting = sum(status.state == "waiting" for status in unended.values())
        if unended:
            # A worker that crashed is replaced here, so that the queue goes on while somebody looks.
            self.queue.wake()
        active = next((i for i, status in unended.items() if status.state == "running"), None)
        order = self.store.order.read()
        return {
            "active": self._row(active, unended[active], {}) if active else None,
            "waiting": waiting,
            "paused": order is not None and order.paused,
            "serial": order.serial if order else 0,
            "run": self.run(run_id, since_event) if run_id else None,
            "log": self.log(run_id, log_offset, newest=True) if run_id else None,
        }

    def row(self, run_id: str) -> Json:
        """A run in a line. Errors: BadOption."""
        self._known(run_id)
        return self._row(run_id, self.store.status(run_id), waiting_reasons(self.store))

    def run(self, run_id: str, since_event: int = 0) -> Json:
        """A run in full, with the figures since an event. Errors: BadOption."""
        record = self._known(run_id)
        view = self._view(run_id)
        status = self.store.status(run_id)
        return {
            "row": self._row(run_id, status, waiting_reasons(self.store)),
            "argv": texts(record.argv),
            "values": as_typed(record.stage, record.values),
            "phases": [_phase(phase, status, view, record) for phase in view.phases]
            + _ahead(record.stage, status, view),
            "metrics": view.metrics(since_event),
            "samples": [{**sample, "url": image_url(sample["path"])} for sample in view.samples],
            "saved": [{**saved, "gone": not os.path.exists(saved["path"])} for saved in view.saved],
            "failures": [{**one, "reason": from_program(one["reason"])} for one in view.failures],
            "notices": [{**one, "text": from_program(one["text"])} for one in view.notices],
            "summary": asdict(view.summary) if view.summary else None,
            "failure": self._failure(record, status.outcome),
            "paused": _paused(view.paused) if view.paused and status.state == "running" else None,
            "machine": {name: value for name, value in view.last_figures.items() if name.endswith("_bytes")},
            "times": view.times_s(),
            "ways_on": self._ways_on(record, status, view),
            "branch": asdict(view.branch) if view.branch else None,
            "has_prompts": bool(record.values.get("sample_prompts")) or self.store.prompts_path(run_id).is_file(),
            "next_event": view.next_event,
        }

    def log(self, run_id: str, offset: int, newest: bool = False) -> Json:
        """What a run printed, from a place on (negative: counted from the end), at most a part of it.

        `newest`: of more than a part, the end. Errors: BadOption.
        """
        self._known(run_id)
        return log.part(self.store.log_path(run_id), offset, self.store.outcome(run_id) is not None, newest)

    def log_before(self, run_id: str, end: int) -> Json:
        """What a run printed before a place. Errors: BadOption."""
        self._known(run_id)
        return log.before(self.store.log_path(run_id), end)

    def find_in_log(self, run_id: str, text: str) -> Json:
        """Where a text stands in what a run printed. Errors: BadOption."""
        self._known(run_id)
        return log.find(self.store.log_path(run_id), text)

    def compare(self, run_ids: list[str]) -> Json:
        """Several runs in full, and the settings in which they differ, each with its values in their order.

        Errors: BadOption.
        """
        runs = [self.run(run_id) for run_id in run_ids]
        flags = dict.fromkeys(flag for run in runs for flag in run["values"])
        rows = [{"flag": flag, "values": [run["values"].get(flag) for run in runs]} for flag in flags]
        return {"runs": runs, "differs": [row for row in rows if any(one != row["values"][0] for one in row["values"])]}

    def deleted(self, records: list[Json]) -> list[Json]:
        """Deleted runs, as rows."""
        kept = ("id", "name", "stage", "state", "deleted")
        return [
            {
                **{key: record[key] for key in kept},
                "title": _title(record["stage"], record["title"]),
                "word": say(f"state.{record['state']}"),
            }
            for record in records
        ]

    def _known(self, run_id: str) -> RunRecord:
        try:
            return self.store.record(run_id)
        except KeyError as error:
            raise refusal("id", "run.unknown", id=run_id) from error

    def _view(self, run_id: str) -> RunView:
        view = self._views.setdefault(run_id, RunView(self.store.events_path(run_id)))
        self._views.move_to_end(run_id)
        while len(self._views) > KEPT_VIEWS:
            self._views.popitem(last=False)
        return view.update()

    def _row(self, run_id: str, status: Status, reasons: dict[str, Reason | None]) -> Json:
        record, outcome = self.store.record(run_id), status.outcome
        view = None if outcome else self._view(run_id)
        skipped = outcome.skipped if outcome else view.skipped if view else 0
        stalled = status.state == "running" and time.time() - self._news_at(run_id, status) > _quiet_s(view)
        paused = view is not None and view.paused is not None and status.state == "running"
        state = "paused" if paused else "stalled" if stalled else status.state
        stalled = state == "stalled"
        return {
            "id": run_id,
            "name": record.name,
            "stage": record.stage,
            "title": _title(record.stage, record.title),
            "state": state,
            "word": say("phase.compile") if _compiles(record, state, view) else _word(state, view, outcome),
            "why": say_reason(self._why(record, status, reasons.get(run_id), view if stalled else None))
            or from_program((outcome and outcome.sentence) or ""),
            "started": status.started,
            "ended": outcome.ended if outcome else None,
            "progress": _progress(view.phase, paused) if view and view.phase else None,
            "loss": view.loss if view else None,
            "devices": [device_name(device) for device in record.devices],
            "chain": record.chain,
            "project": record.project,
            "queued": record.queued,
            "note": record.note,
            "starred": record.starred,
            "skipped": skipped,
            "exit_code": outcome.exit_code if outcome else None,
        }

    def _news_at(self, run_id: str, status: Status) -> float:
        return max(self.store.news_at(run_id), status.started or 0.0)

    def _why(self, record: RunRecord, status: Status, waits: Reason | None, silent: RunView | None) -> Reason | None:
        if record.damaged:
            return Reason("run.damaged")
        if status.outcome:
            return status.outcome.reason
        if silent:
            minutes = int((time.time() - self._news_at(record.id, status)) / 60)
            usual_s = round(silent.phase.gap_s) if silent.phase else 0
            return Reason("run.stalled_usual" if usual_s else "run.stalled", {"minutes": minutes, "usual": usual_s})
        if status.state == "waiting":
            return waits or Reason("run.about_to_start")
        return None

    def _ways_on(self, record: RunRecord, status: Status, view: RunView) -> list[Json]:
        ended = status.outcome is not None and record.stage in TRAINERS
        return ways_on(record.stage, record.values, view.saved) if ended else []

    def _failure(self, record: RunRecord, outcome: Outcome | None) -> Json | None:
        if outcome is None or outcome.state != "failed":
            return None
        lines = self.log(record.id, -log.PART_BYTES)["text"].splitlines()
        sentence = outcome.sentence or say_reason(outcome.reason)
        return {
            "sentence": from_program(sentence),
            "option": outcome.option or option_to_blame(outcome.kind, sentence, record.values),
            "tail": "\n".join(lines[-TAIL_LINES:]),
            "remedies": remedies(outcome.kind, record.values),
        }


def _title(stage: str, told: str) -> str:
    """What kind of run it is; as it was told when it was queued, where there is no such stage."""
    if stage.startswith(PREFIX):
        return say("fit.title_of", stage=say(f"stage.{stage.removeprefix(PREFIX)}"))
    return say_or(f"stage.{stage}", told)


def _paused(event: events.Paused) -> Json:
    """Why a run waits, in words."""
    sizes = (("free", event.free_bytes), ("needed", event.needed_bytes))
    told = [say(f"pause.{name}", size=size(number)) for name, number in sizes if number is not None]
    room = say("pause.room", sizes=say("pause.comma").join(told)) if event.kind == "full" and told else ""
    name = "unread" if event.kind == "pictures" else "text"
    return {
        "kind": event.kind,
        "title": say(f"pause.{event.kind}"),
        "text": say(f"pause.{name}", path=event.path, reason=event.reason) + room,
        "elsewhere": event.elsewhere,
    }


def _quiet_s(view: RunView | None) -> float:
    """How long the present phase may be silent."""
    phase = view.phase if view else None
    if view is None or phase is None:
        return QUIET_OTHERWISE_S
    first_step = phase.name == "train" and not view.points
    usual = QUIET_FIRST_STEP_S if first_step else QUIET_S.get(phase.name, QUIET_OTHERWISE_S)
    return max(usual, 3 * phase.gap_s)


def _compiles(record: RunRecord, state: str, view: RunView | None) -> bool:
    """Whether a run is at its first step, and compiles the model for it."""
    asked = bool(record.values.get("torch_compile"))
    training = view is not None and view.phase is not None and view.phase.name == "train" and not view.points
    return state == "running" and asked and training


def _word(state: str, view: RunView | None, outcome: Outcome | None) -> str:
    phase = view.phase if view else None
    if state == "running" and phase:
        return say_or(f"phase.{phase.name}", phase.name.replace("_", " ").capitalize())
    if state == "done" and outcome and outcome.skipped:
        return say("state.done_skipped", n=outcome.skipped)
    if state == "failed" and outcome and outcome.kind:
        return say_or(f"failed.{outcome.kind}", say("state.failed"))
    return say(f"state.{state}")


def _progress(phase: PhaseView, paused: bool) -> Json:
    return {"phase": phase.name, **figures(phase, paused)}


def figures(phase: PhaseView, paused: bool) -> Json:
    """How far a phase is; without its pace while it is paused."""
    figures = {name: getattr(phase, name) for name in ("done", "total", "rate_per_s", "eta_s")}
    # Nobody knows how long a pause takes.
    return figures | ({"rate_per_s": None, "eta_s": None} if paused else {})


def _ahead(stage: str, status: Status, view: RunView) -> list[Json]:
    """The phases of a run that are still to come, as far as they are known."""
    begun = {phase.name for phase in view.phases}
    if status.state != "running" or stage not in TRAINERS:
        return []
    names = [name for name in TRAINING_AHEAD if name not in begun]
    return [{"name": name, "title": say(f"phase.{name}"), "state": "waiting"} for name in names]


def _phase(phase: PhaseView, status: Status, view: RunView, record: RunRecord) -> Json:
    last = phase is view.phases[-1]
    name = "compile" if last and _compiles(record, status.state, view) else phase.name
    state = status.state if last else "done"
    ended = phase.ended or (status.outcome.ended if status.outcome else time.time()) or phase.began
    return {
        "name": phase.name,
        "title": say_or(f"phase_name.{name}", phase.name.replace("_", " ").capitalize()),
        "state": state,
        **figures(phase, last and view.paused is not None),
        "seconds": round(ended - phase.began, 1),
    }
