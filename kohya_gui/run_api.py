"""What the page can ask about runs: the queue and its order, one run, its log, the history, comparisons."""

from pathlib import Path

from kohya_gui.arguments import Json, Values
from kohya_gui.checks import Confirmed
from kohya_gui.endpoint import endpoint
from kohya_gui.files import Roots, bare
from kohya_gui.launch import findings_json, run_facts, run_name
from kohya_gui.monitor import Monitor
from kohya_gui.project import Project, ProjectStore
from kohya_gui.requeue import check_again
from kohya_gui.runs.history import History
from kohya_gui.runs.queue import Queue
from kohya_gui.stages import STAGES
from kohya_gui.words import refusal
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.output import check_writable

MAX_COMPARED = 8


class RunEndpoints:
    """The part of the studio that has to do with runs."""

    repo: Path
    roots: Roots
    _projects: ProjectStore
    _queue: Queue
    _monitor: Monitor
    _history: History

    @endpoint
    def runs(self) -> Json:
        """The queue, and what ran before."""
        return self._monitor.runs()

    @endpoint
    def run(self, id: str, since_event: int = 0) -> Json:
        """One run, with its figures since an event."""
        return self._monitor.run(id, since_event)

    @endpoint
    def run_log(self, id: str, offset: int = 0, before: int | None = None) -> Json:
        """What a run printed, from a place on (a negative offset counts from the end), or what stands `before` one."""
        return self._monitor.log(id, offset) if before is None else self._monitor.log_before(id, before)

    @endpoint
    def run_log_find(self, id: str, text: str) -> Json:
        """The lines of a run's log that hold a text, with their places."""
        return self._monitor.find_in_log(id, text)

    @endpoint
    def poll(self, run: str | None = None, since_event: int = 0, log_offset: int = 0) -> Json:
        """What the page asks every two seconds."""
        return self._monitor.poll(run, since_event, log_offset)

    @endpoint
    def run_request(self, id: str, request: str) -> Json:
        """Asks a run for something: sample, save, stop_after_epoch, stop, try_again, kill, cancel, retry, duplicate.

        `runs`: those that were added to the queue by it, or taken out.
        """
        self._monitor.row(id)
        runs = self._queue.request(id, request)
        return {"ok": True, "runs": runs, "run_id": runs[0] if runs else None}

    @endpoint
    def run_sample(self, id: str, prompts: str) -> Json:
        """Asks a running training for samples of these prompts, one a line; it draws them from now on."""
        self._monitor.row(id)
        self._queue.sample(id, prompts)
        return {"ok": True}

    @endpoint
    def run_save_elsewhere(self, id: str, folder: str) -> Json:
        """Has a run that waits for a place to write to save into another folder from now on."""
        place = self.roots.inside(bare(folder), "folder")
        self._monitor.row(id)
        try:
            check_writable("folder", str(place))
        except BadOption as error:
            raise refusal("folder", "path.not_writable", path=place) from error
        self._queue.save_elsewhere(id, place)
        return {"ok": True, "folder": str(place)}

    @endpoint
    def run_move(self, id: str, to: str) -> Json:
        """Moves a waiting run, with what waits of its chain: first, up, down, last, or before a run."""
        self._monitor.row(id)
        return {"runs": self._queue.move(id, to)}

    @endpoint
    def run_replace(self, id: str, values: Values, project: str | None = None, confirm: Confirmed = False) -> Json:
        """Gives a waiting run other settings, in its place; or says what stands against it, as `start` does."""
        row = self._monitor.row(id)
        if row["stage"] not in STAGES:
            raise refusal("id", "stage.unknown", stage=row["stage"])
        given = self._project_of(id, project)
        checked = check_again(STAGES[row["stage"]], values, given, self.roots, self._queue.store, id)
        if checked.blocks(confirm):
            return {"findings": findings_json(checked.findings)}
        record = self._queue.store.record(id)
        name = record.name if record.renamed else run_name(checked)
        self._queue.replace(id, **run_facts(checked, self.repo, name))
        return {"run_id": id}

    @endpoint
    def queue_pause(self, paused: bool) -> Json:
        """Keeps what waits from starting, or lets it; what runs goes on."""
        self._queue.pause(paused)
        return {"paused": paused}

    @endpoint
    def run_mark(self, id: str, name: str | None = None, note: str | None = None, starred: bool | None = None) -> Json:
        """Renames a run, notes something about it, stars it; what is not given stays."""
        self._monitor.row(id)
        self._history.mark(id, name, note, starred)
        return {"row": self._monitor.row(id)}

    @endpoint
    def runs_delete(self, ids: list[str]) -> Json:
        """Deletes the records of runs that have ended. They can be restored for a month; what they wrote stays."""
        for id in ids:
            self._monitor.row(id)
        self._history.delete(ids)
        return {"ids": ids}

    @endpoint
    def runs_restore(self, ids: list[str]) -> Json:
        """Puts deleted records back."""
        self._history.restore(ids)
        return {"ids": ids}

    @endpoint
    def runs_deleted(self) -> Json:
        """The deleted runs, the latest first."""
        return {"runs": self._monitor.deleted(self._history.trash.records())}

    @endpoint
    def runs_compare(self, ids: list[str]) -> Json:
        """Two or more runs with their figures and samples, and the settings in which they differ."""
        if not 2 <= len(set(ids)) <= MAX_COMPARED:
            raise refusal("ids", "run.compare_some", n=MAX_COMPARED)
        return self._monitor.compare(list(dict.fromkeys(ids)))

    def _project_of(self, id: str, otherwise: str | None) -> Project:
        """The project of a run; of one whose project is gone, another."""
        name = self._queue.store.record(id).project or otherwise
        known = {project.name: project for project in self._projects.all()}
        return known.get(name or "", Project())
