"""Trainings that are expected to need more memory than there is."""

from collections.abc import Iterable

from kohya_gui.checks import Checked
from kohya_gui.devices import Gpu
from kohya_gui.draft import Draft, Finding, Fix, by_level
from kohya_gui.fitted import is_best
from kohya_gui.memory import Memory, gpus_of, memory_if, memory_of
from kohya_gui.past import nearest
from kohya_gui.remedies import REMEDIES
from kohya_gui.runs.store import RunStore
from kohya_gui.words import say, size
from sd_scripts.library.ram import whole_ram_bytes

_MOST_CHANGES = 2
# What brings less is not worth a change.
_WORTHWHILE = 0.97
_FOR_GPUS = ("adamw8bit", "base_8bit")


def add_shortage(steps: Iterable[Checked], store: RunStore) -> None:
    """Adds a warning to each training whose device has less memory than is expected to be needed.

    No more than that, as it is an estimate; and none where these very settings were seen to fit.
    """
    for step in steps:
        if step.draft.stage.trains and (short := _shortage(step.draft, store)):
            step.findings = by_level([*step.findings, short])


def _shortage(draft: Draft, store: RunStore) -> Finding | None:
    memory, gpus = memory_of(draft), gpus_of(draft)
    # Each of several GPUs holds as much.
    smallest = min(gpus, key=lambda gpu: gpu.memory_bytes, default=None)
    whole_bytes = smallest.memory_bytes if smallest else whole_ram_bytes()
    if memory is None or memory.total <= whole_bytes or _seen_to_fit(draft, store, memory, whole_bytes):
        return None
    return _said(draft, memory, smallest, whole_bytes)


def _said(draft: Draft, memory: Memory, gpu: Gpu | None, whole_bytes: int) -> Finding:
    facts = {"needed": size(memory.total), "whole": size(whole_bytes)}
    mend = _smaller(draft, memory, on_gpu=gpu is not None)
    if gpu:
        return draft.warning(None, "check.memory_gpu", Fix(say("fit.do"), action="fit"), *mend, **facts, name=gpu.name)
    return draft.warning(None, "check.memory_ram", Fix(say("fit.do_cpu"), action="fit"), *mend, **facts)


def _seen_to_fit(draft: Draft, store: RunStore, memory: Memory, whole_bytes: int) -> bool:
    """Whether a run has ended well with these settings, or real steps of them were tried."""
    past = nearest(store, draft.stage, {flag: draft.get(flag) for flag in draft.specs})
    if past and not past.differs and (past.memory_bytes or 0) <= whole_bytes:
        return True
    return memory.processes == 1 and is_best(draft, store)


def _smaller(draft: Draft, memory: Memory, on_gpu: bool) -> tuple[Fix, ...]:
    """The changes, of those offered where memory ran out, after which clearly less is expected."""
    had, found = {flag: draft.get(flag) for flag in draft.specs}, list[Fix]()
    for remedy in REMEDIES["memory"]:
        changes = remedy.change(had) if on_gpu or remedy.name not in _FOR_GPUS else {}
        less = memory_if(draft, changes) if changes else None
        if less and less.total < _WORTHWHILE * memory.total:
            found.append(Fix(say(f"remedy.{remedy.name}"), changes))
    return tuple(found[:_MOST_CHANGES])
