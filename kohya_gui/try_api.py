"""What the page can ask about trying a model: what was saved lately, and the pictures of the last try."""

from pathlib import Path

from kohya_gui.arguments import Json
from kohya_gui.endpoint import endpoint
from kohya_gui.monitor import Monitor
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunRecord
from kohya_gui.stages import STAGES

STAGE = "try"
# So many runs are looked at, and so many files listed.
RUNS, FILES = 12, 24


class TryEndpoints:
    """The part of the studio behind the Try tab."""

    _queue: Queue
    _monitor: Monitor

    @endpoint
    def trained(self, project: str | None = None) -> Json:
        """Files that a project's trainings, or all, have saved lately and that are still there, the newest first."""
        store = self._queue.store
        trainings = [i for i in reversed(store.ids()) if _trains(store.record(i), project)][:RUNS]
        saved = [one for i in trainings for one in reversed(self._monitor.run(i)["saved"])]
        paths = dict.fromkeys(one["path"] for one in saved if one["kind"] == "model" and not one["gone"])
        return {"files": [{"path": path, "name": Path(path).name} for path in paths][:FILES]}

    @endpoint
    def tried(self, project: str | None = None) -> Json:
        """The last run that drew pictures for a project, or for any, with those drawn so far; or `run` None."""
        store = self._queue.store
        for run_id in reversed(store.ids()):
            record = store.record(run_id)
            if record.stage != STAGE or project not in (None, record.project):
                continue
            if (run := self._monitor.run(run_id))["samples"]:
                sheet = next((one["path"] for one in run["saved"] if one["kind"] == "grid"), None)
                return {"run": run["row"], "samples": run["samples"], "sheet": sheet}
        return {"run": None, "samples": [], "sheet": None}


def _trains(record: RunRecord, project: str | None) -> bool:
    return record.stage in STAGES and STAGES[record.stage].trains and project in (None, record.project)
