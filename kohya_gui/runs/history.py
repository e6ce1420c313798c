"""What is kept of runs that have ended: names, notes and stars, and deletion that can be taken back."""

from typing import Any

from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunRecord
from kohya_gui.runs.trash import Trash
from kohya_gui.words import refusal

NAME_LETTERS = 100
NOTE_LETTERS = 4000


class History:
    """Changes records of runs. All under the lock of the queue, so that no change of another page is lost."""

    def __init__(self, queue: Queue) -> None:
        self.queue = queue
        self.store = queue.store
        self.trash = Trash(self.store)
        self.trash.empty_old()
        self.store.clear_up()

    def mark(self, run_id: str, name: str | None, note: str | None, starred: bool | None) -> RunRecord:
        """Renames a run, notes something about it, stars it; None leaves a thing as it is. Errors: BadOption."""
        given: dict[str, Any] = {"note": note, "starred": starred, "name": name.strip() if name is not None else None}
        if given["name"] == "" or len(given["name"] or "") > NAME_LETTERS:
            raise refusal("name", "run.name_needed", n=NAME_LETTERS)
        if len(note or "") > NOTE_LETTERS:
            raise refusal("note", "run.note_long", n=NOTE_LETTERS)
        facts = {key: value for key, value in given.items() if value is not None}
        with self.queue.changing():
            return self.store.change(run_id, **facts, **({"renamed": True} if "name" in facts else {}))

    def delete(self, run_ids: list[str]) -> None:
        """Takes away the records of runs, until they are restored; their files stay. Errors: BadOption, and none is."""
        with self.queue.changing():
            for run_id in run_ids:
                self._check_deletable(run_id)
            for run_id in run_ids:
                self.trash.put(run_id)
        self.trash.empty_old()

    def restore(self, run_ids: list[str]) -> None:
        """Puts deleted records back. Errors: BadOption, for one that is not there any more."""
        with self.queue.changing():
            for run_id in run_ids:
                try:
                    self.trash.take_back(run_id)
                except KeyError as error:
                    raise refusal("ids", "run.unknown", id=run_id) from error

    def _check_deletable(self, run_id: str) -> None:
        name = self.store.record(run_id).name
        unended = self.store.unended()
        if run_id in unended:
            raise refusal("ids", "run.still_there", name=name)
        needing = next((one for one in unended if self.store.record(one).after == run_id), None)
        if needing:
            raise refusal("ids", "run.still_needed", name=name, other=self.store.record(needing).name)
