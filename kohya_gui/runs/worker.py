"""The worker: a process of its own that runs the queue. It outlives the page and ends when nothing is left to do."""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path

import psutil

from kohya_gui.runs import log
from kohya_gui.runs.events import RunView
from kohya_gui.runs.failures import kind_of
from kohya_gui.runs.lock import held
from kohya_gui.runs.queue import named, waiting_reasons
from kohya_gui.runs.store import Outcome, RunStore, Status
from kohya_gui.runs.turn import stands_against
from kohya_gui.words import Reason, say_reason
from sd_scripts.library import systems
from sd_scripts.library.events import CONTROL_VARIABLE, EVENTS_VARIABLE
from sd_scripts.library.installed import INSTALLED_ONLY
from sd_scripts.library.io.atomic import write_json
from sd_scripts.library.io.reach import as_variable
from sd_scripts.library.io.reading import parse_json
from sd_scripts.library.systems import ProcessId

LOOK_EVERY_S = 0.2
# A worker that was started while another one is about to end waits for it this long.
TAKE_OVER_S = 10.0
# Whoever takes a run (a worker, or the page to cancel it) writes what came of it within this time.
CLAIM_S = 5.0
# Where the last words of a script are looked for.
TAIL_LETTERS = 4000


class Worker:
    """Starts what waits, watches what runs, writes down how it ended."""

    def __init__(self, store: RunStore, stop_grace_s: float, roots: Iterable[Path] = ()) -> None:
        self.store = store
        self._reach = as_variable(roots)
        self.stop_grace_s = stop_grace_s
        self._children: dict[str, subprocess.Popen[bytes]] = {}
        # Runs that take longer to stop than they should.
        self._late: dict[str, RunView] = {}

    def run(self) -> None:
        """Works until nothing is left."""
        while True:
            me = systems.identify(os.getpid())
            assert me is not None
            write_json(self.store.worker_path, {"pid": me.pid, "created_s": me.created_s})
            while self.step():
                time.sleep(LOOK_EVERY_S)
            # Who adds a run looks for this file afterwards: gone before the last look, no run is missed.
            self.store.worker_path.unlink()
            if not self.store.has_work():
                return

    def step(self) -> bool:
        """One look at everything; whether there is still something to do."""
        statuses = self.store.unended()
        for run_id, status in statuses.items():
            if status.state == "running":
                self._watch(run_id, status)
        if None in waiting_reasons(self.store).values():
            # Whoever pauses the queue or changes it may rely on it: what begins is decided under the same lock.
            with self.store.order.held(LOOK_EVERY_S) as mine:
                if mine:
                    self._begin()
        return self.store.has_work()

    def _begin(self) -> None:
        """Starts what need not wait any more, and takes out what waited for a run that did not come to its end."""
        for run_id, reason in waiting_reasons(self.store).items():
            record = self.store.record(run_id)
            before = self.store.outcome(record.after) if record.after else None
            if before and before.state != "done":
                why = Reason(f"run.after_{before.state}", named(self.store.record(str(record.after))))
                self.store.finish(run_id, Outcome(state="cancelled", ended=time.time(), reason=why))
            elif reason is None and self.store.claim(run_id):
                self._start(run_id)

    def _start(self, run_id: str) -> None:
        record = self.store.record(run_id)
        against = stands_against(record)
        if against:
            self.store.log_path(run_id).write_text(f"Error: {say_reason(against.reason)}\n", encoding="utf-8")
            self.store.finish(run_id, against)
            return
        try:
            work_dir = Path(record.work_dir)
            work_dir.mkdir(parents=True, exist_ok=True)
            child = systems.start_detached(
                record.argv, output=self.store.log_path(run_id), cwd=work_dir, env=self._environment(run_id)
            )
        except OSError as error:
            reason = Reason(
                "run.cannot_start", {"why": error.strerror or str(error), "what": error.filename or record.argv[0]}
            )
            self.store.finish(run_id, Outcome(state="failed", started=time.time(), ended=time.time(), reason=reason))
            return
        self._children[run_id] = child
        # A script that has ended already has no start time to be asked for; now is near enough.
        self.store.set_process(run_id, systems.identify(child.pid) or ProcessId(child.pid, time.time()))

    def _environment(self, run_id: str) -> dict[str, str]:
        return {
            **os.environ,
            EVENTS_VARIABLE: str(self.store.events_path(run_id)),
            CONTROL_VARIABLE: str(self.store.control_path(run_id)),
            "PYTHONUNBUFFERED": "1",
            "PYTHONUTF8": "1",
            INSTALLED_ONLY: "1",
            **self._reach,
            **_search_path(),
        }

    def _watch(self, run_id: str, status: Status) -> None:
        """Writes down how a run ended, if it has, and ends one that must end."""
        child = self._children.get(run_id)
        code = child.poll() if child else None
        if child is None and status.process is None:
            if time.time() - (status.started or time.time()) < CLAIM_S:
                return
            status = self._found_again(run_id, status)
            if status.process is None and self.store.never_began(run_id):
                # It was taken by a worker that died before it started anything: it waits again.
                self.store.release(run_id)
                return
        lives = code is None if child else status.process is not None and systems.is_alive(status.process)
        if not lives:
            self._finish(run_id, status, code)
        elif status.process and self._must_end(run_id):
            systems.stop_tree(status.process, grace_s=0.0)

    def _found_again(self, run_id: str, status: Status) -> Status:
        """Looks for the script of a run whose worker died after it had started it, and before it wrote that down."""
        mine = str(self.store.events_path(run_id))
        alike = [
            process.info
            for process in psutil.process_iter(["pid", "create_time", "environ"])
            if (process.info["environ"] or {}).get(EVENTS_VARIABLE) == mine
        ]
        if not alike:
            return status
        # What the script has started itself is younger and has the same environment.
        script = min(alike, key=lambda info: info["create_time"])
        process = ProcessId(script["pid"], script["create_time"])
        self.store.set_process(run_id, process)
        return replace(status, process=process)

    def _must_end(self, run_id: str) -> bool:
        """Whether a run was told to end at once, or asked to stop too long ago.

        One that waits for a place to save to is left to wait: what it holds would be lost.
        """
        asked = asked_at(self.store.control_path(run_id))
        if "kill" in asked or "stop" not in asked or time.time() - asked["stop"] <= self.stop_grace_s:
            return "kill" in asked
        view = self._late.setdefault(run_id, RunView(self.store.events_path(run_id)))
        return view.update().paused is None

    def _finish(self, run_id: str, status: Status, code: int | None) -> None:
        self._children.pop(run_id, None)
        self._late.pop(run_id, None)
        asked = asked_at(self.store.control_path(run_id))
        view = RunView(self.store.events_path(run_id)).update()
        outcome = outcome_of(view, code, asked, status.started)
        if outcome.state == "failed":
            tail = log.before(self.store.log_path(run_id), sys.maxsize)["text"][-TAIL_LETTERS:]
            outcome = replace(outcome, kind=kind_of(view.failed, code, tail))
        self.store.finish(run_id, outcome)


def _search_path() -> dict[str, str]:
    """PYTHONPATH without places that are none by themselves: they would mean the working folder of each run."""
    places = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    return {"PYTHONPATH": os.pathsep.join(place for place in places if os.path.isabs(place))}


def outcome_of(view: RunView, code: int | None, asked: dict[str, float], started: float | None) -> Outcome:
    """How a run ended, from its exit code (None: it ended unseen), its last words and what was asked of it."""
    ended = time.time() if code is not None else view.last_time or started
    end = partial(Outcome, exit_code=code, started=started, ended=ended, skipped=view.skipped)
    if code == 0 or (code is None and view.summary and not view.failed):
        if view.stopped:
            return end(state="stopped", sentence=view.stopped.sentence)
        return end(state="done")
    if "kill" in asked or ("stop" in asked and not view.failed):
        key = "run.killed" if "kill" in asked else "run.killed_after_grace"
        return end(state="stopped", reason=Reason(key))
    if view.failed:
        return end(state="failed", sentence=view.failed.sentence, option=view.failed.option)
    return end(state="failed", reason=_reason_of(code))


def _reason_of(code: int | None) -> Reason:
    if code is None:
        return Reason("run.ended_without_result")
    return Reason("run.ended_by_signal", {"signal": -code}) if code < 0 else Reason("run.exit_code", {"code": code})


def asked_at(control_path: Path) -> dict[str, float]:
    """{request: when it was made first} of a run (Unix seconds)."""
    asked: dict[str, float] = {}
    try:
        lines = control_path.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return asked
    for line in lines:
        try:
            found = parse_json(line)
            asked.setdefault(found["request"], float(found["time"]))
        except (ValueError, KeyError, TypeError, OverflowError):
            continue
    return asked


def main(argv: list[str]) -> int:
    """Runs the queue of a folder, unless another worker does already."""
    parser = argparse.ArgumentParser(description="Runs the queue of a folder of runs.")
    parser.add_argument("--runs_dir", type=Path, required=True)
    parser.add_argument("--stop_grace_s", type=float, default=180.0)
    parser.add_argument("--root", type=Path, action="append", default=[])
    asked = parser.parse_args(argv)
    with held(asked.runs_dir / "worker.lock", TAKE_OVER_S) as mine:
        if mine:
            Worker(RunStore(asked.runs_dir), asked.stop_grace_s, asked.root).run()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
