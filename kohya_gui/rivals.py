"""Runs in the queue that write the very file which a start would write."""

from collections.abc import Iterable, Iterator
from pathlib import Path

from kohya_gui.checks import Checked
from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.fixes import free_name, rename
from kohya_gui.runs.store import RunRecord, RunStore
from kohya_gui.saving_rules import written
from kohya_gui.stages import TRAINERS

# What tells where a stage writes; the first is the field to blame.
_BESIDE_PICTURES = ("train_data_dir", "caption_extension", "output_path")
_OUTPUTS = {
    "caption": _BESIDE_PICTURES,
    "tag": _BESIDE_PICTURES,
    "metadata": ("out_json",),
    "latents": ("out_json",),
    "train": ("output_name", "output_dir"),
    # No picture takes the name of another.
    "try": (),
}
_WRITTEN = ("folder", "model_out", "file_out", "json_out")


def add_rivals(steps: Iterable[Checked], store: RunStore, besides: str | None = None) -> None:
    """Adds a warning to each step whose output a run that is in the queue, `besides` one, writes too."""
    states = {run_id: status.state for run_id, status in store.unended().items() if run_id != besides}
    for step in steps:
        step.findings += _rivals(step.draft, [(store.record(run_id), state) for run_id, state in states.items()])


def _rivals(draft: Draft, queued: list[tuple[RunRecord, str]]) -> Iterator[Finding]:
    flags = _outputs(draft)
    if not flags:
        return
    place = [draft.get(flag) for flag in flags]
    for record, state in queued:
        if _same_kind(record, draft) and [record.values.get(flag) for flag in flags] == place:
            key = "check.same_output_running" if state == "running" else "check.same_output_waiting"
            yield draft.warning(flags[0], key, *_renamed(draft, queued), name=record.name)
            return


def _same_kind(record: RunRecord, draft: Draft) -> bool:
    """Whether a run may write what the stage writes: the same stage; of trainings any, as their names are alike."""
    return record.stage == draft.stage.id or (draft.stage.trains and record.stage in TRAINERS)


def _outputs(draft: Draft) -> tuple[str, ...]:
    """The options that tell where a stage writes; of a tool those paths to write to that are given."""
    if draft.stage.tab != "tools":
        return _OUTPUTS[draft.stage.tab]
    return tuple(flag for flag, spec in draft.specs.items() if spec.path in _WRITTEN and draft.get(flag))


def _renamed(draft: Draft, queued: list[tuple[RunRecord, str]]) -> Iterator[Fix]:
    """Another name for what is one file, or one model; texts beside pictures have none to choose."""
    flag = _outputs(draft)[0]
    taken = {str(record.values.get(flag)) for record, _ in queued}
    if flag == "out_json":
        path = Path(draft.get(flag))
        other = free_name(path.stem, lambda stem: str(path.with_stem(stem)) in taken or path.with_stem(stem).exists())
        yield rename(draft, flag, str(path.with_stem(other)))
    elif flag == "output_name" and draft.get(flag) and draft.get("output_dir"):
        folder = Path(draft.get("output_dir"))
        yield rename(draft, flag, free_name(draft.get(flag), lambda name: name in taken or bool(written(folder, name))))
