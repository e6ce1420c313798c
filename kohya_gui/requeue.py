"""Other settings for a run that waits: checked in its chain, where files of those before it are to come."""

from pathlib import Path
from typing import Any

from kohya_gui.checks import Checked, check
from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.rivals import add_rivals
from kohya_gui.rules import texts_of
from kohya_gui.runs.store import RunRecord, RunStore
from kohya_gui.shortage import add_shortage
from kohya_gui.stages import STAGES, Stage

_ENDINGS = {"caption": ".caption", "tag": ".txt"}


def check_again(
    stage: Stage, values: dict[str, Any], project: Project, roots: Roots, store: RunStore, run_id: str
) -> Checked:
    """What `check` says of values that are to take the place of those of a waiting run."""
    coming = frozenset(path for record in _before(run_id, store) for path in _written(record))
    checked = check(stage, values, project, roots, coming)
    add_rivals([checked], store, besides=run_id)
    add_shortage([checked], store)
    return checked


def _before(run_id: str, store: RunStore) -> list[RunRecord]:
    """The runs of its chain that come before a run and have not ended."""
    unended, found = store.unended(), []
    after = store.record(run_id).after
    while after in unended:
        found.append(store.record(after))
        after = found[-1].after
    return found


def _written(record: RunRecord) -> set[Path]:
    values, stage = record.values, STAGES.get(record.stage)
    if values.get("out_json"):
        return {Path(values["out_json"]).resolve()}
    if stage and stage.tab in _ENDINGS and values.get("train_data_dir"):
        ending = values.get("caption_extension") or _ENDINGS[stage.tab]
        return {texts_of(Path(values["train_data_dir"]), ending).resolve()}
    return set()
