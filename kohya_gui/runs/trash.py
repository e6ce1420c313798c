"""Deleted runs: their records lie in a folder beside the others until they are taken back, or for a month."""

import contextlib
import json
import os
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kohya_gui.runs.store import RunStore, read_record
from sd_scripts.library.io.atomic import write_json

KEPT_S = 30 * 86400.0
# All that the page, the worker and a script write as a run's record; what else may lie there is never removed.
_RECORD = (
    "deleted.json",
    "control.jsonl",
    "events.jsonl",
    "output.log",
    "process.json",
    "prompts.txt",
    "result.json",
    "run.json",
)


class Trash:
    """The deleted runs of a store. Only records come here: what a run wrote elsewhere stays where it is."""

    def __init__(self, store: RunStore) -> None:
        self.store = store
        self.folder = store.runs_dir / "trash"

    def put(self, run_id: str) -> None:
        """Takes a run's record away, whole: it is renamed."""
        write_json(self.store.folder(run_id) / "deleted.json", {"deleted": time.time()})
        self.folder.mkdir(exist_ok=True)
        os.replace(self.store.folder(run_id), self.folder / run_id)

    def take_back(self, run_id: str) -> None:
        """Puts a record back to the others. Errors: KeyError, when it is not here."""
        if not (self.folder / self.store.folder(run_id).name / "run.json").is_file():
            raise KeyError(run_id)
        os.replace(self.folder / run_id, self.store.folder(run_id))

    def records(self) -> list[dict[str, Any]]:
        """What was deleted, the latest first: the record, `state`, and when it was `deleted`."""
        if not self.folder.is_dir():
            return []
        found = [_record(folder) for folder in self.folder.iterdir() if (folder / "run.json").is_file()]
        return sorted(found, key=lambda record: -record["deleted"])

    def empty_old(self, kept_s: float = KEPT_S) -> None:
        """Removes for good what was deleted long ago."""
        for record in self.records():
            if time.time() - record["deleted"] > kept_s:
                folder = self.folder / record["id"]
                for name in _RECORD:
                    (folder / name).unlink(missing_ok=True)
                with contextlib.suppress(OSError):  # something else lies in it
                    folder.rmdir()


def _record(folder: Path) -> dict[str, Any]:
    deleted, result = (_read(folder / f"{name}.json") for name in ("deleted", "result"))
    return {
        **asdict(read_record(folder / "run.json")),
        "deleted": deleted.get("deleted", time.time()),
        "state": result.get("state", "cancelled"),
    }


def _read(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
