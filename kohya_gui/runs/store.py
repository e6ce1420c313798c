"""Run folders: what a run is, how it stands, how it ended. All of it is files, and whether a process lives."""

import contextlib
import json
import os
import re
import time
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, get_args

from kohya_gui.runs.order import OrderFile
from kohya_gui.words import Reason
from sd_scripts.library import systems
from sd_scripts.library.io.atomic import write_json
from sd_scripts.library.io.leftovers import tidy
from sd_scripts.library.systems import ProcessId

VERSION = 1
State = Literal["waiting", "running", "done", "failed", "stopped", "cancelled"]
# So long a folder may be without its record.
_CREATED_S = 60.0
_ID = re.compile(r"\d{8}-\d{6}-\d{3}-[\w.-]+")


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """run.json: what is run. `devices` are the locks it needs; `after` is the run that must be done before it.

    Name, note and star may change at any time, the rest while it waits; both only under the lock of the queue.
    """

    id: str
    name: str
    stage: str
    title: str
    argv: list[str]
    work_dir: str
    queued: float
    values: dict[str, Any] = field(default_factory=dict)
    preset: str | None = None
    project: str | None = None
    devices: list[str] = field(default_factory=list)
    chain: str | None = None
    after: str | None = None
    versions: dict[str, str] = field(default_factory=dict)
    dataset: dict[str, Any] = field(default_factory=dict)
    note: str = ""
    starred: bool = False
    renamed: bool = False
    version: int = VERSION

    @property
    def damaged(self) -> bool:
        """Whether it stands for a run.json that cannot be read: every other one has a command."""
        return not self.argv


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """result.json: how a run ended. `sentence` is the script's own; `reason` is ours, in the reader's language.

    `kind`: what sort of trouble it was (failures.py).
    """

    state: State
    exit_code: int | None = None
    started: float | None = None
    ended: float | None = None
    sentence: str | None = None
    option: str | None = None
    kind: str | None = None
    skipped: int = 0
    reason: Reason | None = None
    version: int = VERSION


@dataclass(frozen=True, kw_only=True)
class Status:
    """How a run stands now."""

    state: State
    started: float | None = None
    process: ProcessId | None = None
    outcome: Outcome | None = None


class RunStore:
    """The folder of all runs."""

    def __init__(self, runs_dir: Path) -> None:
        self.runs_dir = runs_dir
        self.order = OrderFile(runs_dir)
        self._records: dict[str, tuple[tuple[int, ...], RunRecord]] = {}
        self._outcomes: dict[str, Outcome] = {}
        self._whole: set[str] = set()

    def folder(self, run_id: str) -> Path:
        """The folder of a run. Errors: KeyError for what cannot be an id."""
        if not _ID.fullmatch(run_id):
            raise KeyError(run_id)
        return self.runs_dir / run_id

    def events_path(self, run_id: str) -> Path:
        """Where the script tells how it goes."""
        return self.folder(run_id) / "events.jsonl"

    def control_path(self, run_id: str) -> Path:
        """Where the script is asked for something."""
        return self.folder(run_id) / "control.jsonl"

    def prompts_path(self, run_id: str) -> Path:
        """The prompts that were sent to it while it ran."""
        return self.folder(run_id) / "prompts.txt"

    def log_path(self, run_id: str) -> Path:
        """What the script printed."""
        return self.folder(run_id) / "output.log"

    def ids(self) -> list[str]:
        """All runs, in the order in which they were queued."""
        if not self.runs_dir.is_dir():
            return []
        # A record that was written stays as long as its folder: with many runs, only new ones are looked at.
        names = [name for name in os.listdir(self.runs_dir) if _ID.fullmatch(name)]
        self._whole = {name for name in names if name in self._whole or (self.runs_dir / name / "run.json").is_file()}
        return sorted(self._whole)

    def clear_up(self) -> None:
        """Removes what pages and workers that were killed left unfinished: nobody may write in those folders again."""
        names = os.listdir(self.runs_dir) if self.runs_dir.is_dir() else []
        for folder in (self.runs_dir / name for name in names if _ID.fullmatch(name)):
            tidy(folder)
            if time.time() - _changed(folder) > _CREATED_S:
                with contextlib.suppress(OSError):  # Only an empty one goes: its record was never written.
                    folder.rmdir()

    def create(self, stage: str, name: str, **facts: Any) -> RunRecord:
        """A new run, waiting. Ids sort by time: of two runs the later one has the greater id."""
        queued = time.time()
        slug = re.sub(r"[^\w.-]+", "_", f"{stage}-{name}")[:60].rstrip(".")
        while True:
            run_id = f"{_stamp(queued)}-{slug}"
            if run_id > (self._newest() or ""):
                try:
                    self.folder(run_id).mkdir(parents=True)
                    break
                except FileExistsError:
                    pass
            queued += 0.001
        record = RunRecord(id=run_id, stage=stage, name=name, queued=queued, **facts)
        write_json(self.folder(run_id) / "run.json", asdict(record))
        return record

    def record(self, run_id: str) -> RunRecord:
        """What a run is; of one whose file is damaged, only what its id tells.

        Errors: KeyError when there is none of that id.
        """
        path = self.folder(run_id) / "run.json"
        try:
            facts = path.stat()
        except OSError as error:
            raise KeyError(run_id) from error
        version = (facts.st_mtime_ns, facts.st_size, facts.st_ino)
        kept, record = self._records.get(run_id, (None, None))
        if record is None or kept != version:
            record = read_record(path)
            self._records[run_id] = (version, record)
        return record

    def change(self, run_id: str, **facts: Any) -> RunRecord:
        """Writes other facts into a run's record. Only for who holds the lock of the queue."""
        record = replace(self.record(run_id), **facts)
        write_json(self.folder(run_id) / "run.json", asdict(record))
        return record

    def outcome(self, run_id: str) -> Outcome | None:
        """How a run ended, if it has. One that waits and whose record is damaged can never begin."""
        if run_id not in self._outcomes:
            found = _outcome(self.folder(run_id) / "result.json")
            if found is None:
                waits = not self._process_path(run_id).exists()
                return DAMAGED if waits and self._is_damaged(run_id) else None
            self._outcomes[run_id] = found
        return self._outcomes[run_id]

    def finish(self, run_id: str, outcome: Outcome) -> None:
        """Writes how a run ended: for good."""
        write_json(self.folder(run_id) / "result.json", asdict(outcome))

    def claim(self, run_id: str) -> bool:
        """Takes a waiting run, to start it or to cancel it: only one who asks is given it."""
        try:
            with open(self._process_path(run_id), "x", encoding="utf-8") as stream:
                json.dump({"started": time.time(), "pid": None, "created_s": None}, stream)
        except FileExistsError:
            return False
        return True

    def release(self, run_id: str) -> None:
        """Lets a run wait again that was taken and never began."""
        self._process_path(run_id).unlink(missing_ok=True)

    def never_began(self, run_id: str) -> bool:
        """Whether a run that was taken has said nothing at all yet."""
        return not any(_size(path) for path in (self.events_path(run_id), self.log_path(run_id)))

    def set_process(self, run_id: str, process: ProcessId) -> None:
        """Says which process runs it."""
        write_json(self._process_path(run_id), {"started": time.time(), **asdict(process)})

    def status(self, run_id: str) -> Status:
        """How a run stands, from its files and its process."""
        outcome = self.outcome(run_id)
        if outcome:
            return Status(state=outcome.state, started=outcome.started, outcome=outcome)
        claimed = self._claimed(run_id)
        if claimed is None:
            return Status(state="waiting")
        process = ProcessId(claimed["pid"], claimed["created_s"]) if claimed["pid"] else None
        if (process and systems.is_alive(process)) or self.worker_alive():
            return Status(state="running", started=claimed["started"], process=process)
        # The worker may have written the result between the two looks.
        outcome = self.outcome(run_id) or self._lost(run_id, claimed["started"])
        return Status(state=outcome.state, started=claimed["started"], process=process, outcome=outcome)

    def unended(self) -> dict[str, Status]:
        """The runs that have not ended: what runs, then what waits, in the order of the queue."""
        order = self.order.read()
        place = {run_id: i for i, run_id in enumerate(order.ids)} if order else {}
        statuses = {run_id: self.status(run_id) for run_id in self.ids() if self.outcome(run_id) is None}
        found = {
            run_id: status
            for run_id, status in statuses.items()
            if status.outcome is None and (status.state == "running" or order is None or run_id in place)
        }
        return dict(sorted(found.items(), key=lambda one: (one[1].state != "running", place.get(one[0], len(place)))))

    def has_work(self) -> bool:
        """Whether a worker has something to do: a run to watch, or one to start in a queue that is not paused."""
        order = self.order.read()
        return any(
            self._process_path(run_id).exists() or order is None or (not order.paused and run_id in order.ids)
            for run_id in self.ids()
            if self.outcome(run_id) is None
        )

    def worker_alive(self) -> bool:
        """Whether the worker of these runs lives."""
        found = _read(self.worker_path)
        return found is not None and "pid" in found and systems.is_alive(ProcessId(found["pid"], found["created_s"]))

    @property
    def worker_path(self) -> Path:
        """The file in which the worker says who it is."""
        return self.runs_dir / "worker.json"

    def news_at(self, run_id: str) -> float:
        """When a run last wrote anything (Unix seconds); 0 for never."""
        return max((_changed(path) for path in (self.events_path(run_id), self.log_path(run_id))), default=0.0)

    def _claimed(self, run_id: str) -> dict[str, Any] | None:
        """Since when a run is taken, and by which process; None while it waits.

        It is taken when the file is there, even before it is filled; and whoever was killed then never fills it.
        """
        path = self._process_path(run_id)
        found = _read(path)
        if found is not None and {"started", "pid", "created_s"} <= found.keys():
            return found
        return {"started": _changed(path), "pid": None, "created_s": None} if path.exists() else None

    def _is_damaged(self, run_id: str) -> bool:
        try:
            return self.record(run_id).damaged
        except KeyError:  # it was deleted just now
            return False

    def _lost(self, run_id: str, started: float) -> Outcome:
        ended = self.news_at(run_id) or started
        return Outcome(state="failed", started=started, ended=ended, reason=Reason("run.ended_without_result"))

    def _process_path(self, run_id: str) -> Path:
        return self.folder(run_id) / "process.json"

    def _newest(self) -> str | None:
        ids = self.ids()
        return ids[-1] if ids else None


def _stamp(now_s: float) -> str:
    return time.strftime("%Y%m%d-%H%M%S", time.localtime(now_s)) + f"-{int(now_s * 1000) % 1000:03d}"


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _changed(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


DAMAGED = Outcome(state="failed", kind="damaged", reason=Reason("run.damaged"))


def read_record(path: Path) -> RunRecord:
    """What a run.json holds; for a damaged one what the name of its folder tells."""
    try:
        record = RunRecord(**(_read(path) or {}))
        whole = all(isinstance(text, str) for text in (record.name, record.stage, record.title, *record.argv))
        return record if whole and isinstance(record.values, dict) else _damaged(path)
    except TypeError:
        return _damaged(path)


def _damaged(path: Path) -> RunRecord:
    run_id = path.parent.name
    stage, _, name = run_id.split("-", 3)[3].partition("-")
    queued = _changed(path)
    return RunRecord(id=run_id, name=name or stage, stage=stage, title=stage, argv=[], work_dir="", queued=queued)


def _outcome(path: Path) -> Outcome | None:
    """What a result.json holds; None where there is none, and for a damaged one: then the process tells."""
    try:
        found = _read(path) or {}
        reason = found.pop("reason")
        outcome = Outcome(**found, reason=Reason(**reason) if reason else None)
        return outcome if outcome.state in get_args(State) else None
    except (KeyError, TypeError):
        return None


def _read(path: Path) -> dict[str, Any] | None:
    """A JSON object; None where there is none, or a damaged one."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None
