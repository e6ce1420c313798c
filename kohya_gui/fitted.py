"""Fit to my GPU: the run that tries a training's settings, and what the last one found for a form."""

import functools
from pathlib import Path
from typing import Any

from kohya_gui import devices
from kohya_gui.checks import Checked
from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.launch import run_name, versions
from kohya_gui.launching import gpus_named, launcher, split_values
from kohya_gui.past import differing
from kohya_gui.runs.events import RunView
from kohya_gui.runs.store import RunRecord, RunStore
from kohya_gui.words import label, left_out, say
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.spec import flat_values, from_values
from sd_scripts.options.values import to_argv

PREFIX = "fit_"
"""A run that tries the settings of a training is of the stage fit_TRAINING."""

# Older runs are not looked at.
_MOST_RUNS = 20

# Their product is the pictures of a step: one of them as it was, and the other as it was chosen, is another training.
_SPLIT = {"train_batch_size", "gradient_accumulation_steps"}


def fit_facts(checked: Checked, repo: Path) -> dict[str, Any]:
    """What the record says of a run that tries the settings of a training that may start.

    Steps are tried in one process: where GPUs are named, on the first of them.
    """
    draft = checked.draft
    own, first = split_values(draft.values)[1], gpus_named(draft.get("gpu_ids"))[:1]
    program = str(repo / "sd_scripts" / "tools" / "fit_memory.py")
    argv = [*launcher({"gpu_ids": str(first[0])} if first else {}), program, "--training", draft.stage.script]
    return {
        "stage": PREFIX + draft.stage.id,
        "name": run_name(checked),
        "title": say("fit.title_of", stage=say(f"stage.{draft.stage.id}")),
        "argv": [*argv, "--", *to_argv(SCRIPTS[draft.stage.script], own)],
        "work_dir": str(draft.base),
        "values": flat_values(from_values(draft.stage.options, draft.values)),
        "project": draft.project.name or None,
        "devices": [f"gpu:{number}" for number in first] or devices.names(),
        "versions": versions(repo),
    }


def add_found(checked: Checked, store: RunStore) -> None:
    """Offers the settings that the last such run found, or says that they stand there already, as long as the form asks
    for what it asked for."""
    finding = _found(checked.draft, store) if checked.draft.stage.trains else None
    checked.findings += [finding] if finding else []


def is_best(draft: Draft, store: RunStore) -> bool:
    """Whether the last such run tried the very settings of the form, and chose them: they fit, in one process."""
    finding = _found(draft, store)
    return finding is not None and finding.key == "fit.best"


def _found(draft: Draft, store: RunStore) -> Finding | None:
    for run_id in reversed(store.ids()[-_MOST_RUNS:]):
        record, outcome = store.record(run_id), store.outcome(run_id)
        if record.stage != PREFIX + draft.stage.id or outcome is None or outcome.state != "done":
            continue
        chosen = _chosen(store.events_path(run_id))
        return _said(draft, record, chosen) if chosen is not None and _is_same(draft, record, chosen) else None
    return None


def _said(draft: Draft, record: RunRecord, chosen: dict[str, Any]) -> Finding:
    new = {flag: value for flag, value in chosen.items() if draft.get(flag) != value}
    if not new:
        return draft.fine("fit.best")
    told = ", ".join(f"{label(draft.stage.id, draft.stage.tab, flag)} {_shown(value)}" for flag, value in new.items())
    return draft.fine("fit.found", Fix(say("fit.use"), new), name=record.name, what=told)


def _shown(value: Any) -> str:
    if value is None:
        return left_out()
    return say("fit.on" if value else "fit.off") if isinstance(value, bool) else str(value)


def _is_same(draft: Draft, record: RunRecord, chosen: dict[str, Any]) -> bool:
    """Whether what the memory hangs on is still as it was, or as it was chosen."""
    now = {flag: draft.get(flag) for flag in draft.specs}
    before = {flag: record.values.get(flag, spec.default) for flag, spec in draft.specs.items()}
    taken = {flag for flag, value in chosen.items() if now.get(flag) == value}
    left = {flag for flag in chosen if now.get(flag) == before.get(flag)}
    split = _SPLIT & chosen.keys()
    same_pictures = split <= taken or split <= left
    return same_pictures and {*differing(draft.stage, record.values, now)} <= set(chosen) == taken | left


@functools.lru_cache(maxsize=_MOST_RUNS)
def _chosen(events: Path) -> dict[str, Any] | None:
    """{option: value} that a run chose, none where it left all as it was; it has ended, so that does not change."""
    summary = RunView(events).update().summary
    return {row["option"]: row["value"] for row in summary.tables.get("chosen", [])} if summary else None
