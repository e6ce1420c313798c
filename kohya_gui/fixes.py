"""The buttons that mend what a check has found: what each says, and what it sets in the form or does."""

import os
import re
from collections.abc import Callable, Iterable
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.words import label, say
from sd_scripts.options.spec import OptionSpec
from sd_scripts.options.values import BadValue

# So many pictures are named to the page; the finding says how many there are.
MOST_SHOWN = 500


def turn_on(draft: Draft, *flags: str) -> Fix:
    """Switches on, named after the first of them."""
    return Fix(say("fix.on", what=_label(draft, flags[0])), dict.fromkeys(flags, True))


def turn_off(draft: Draft, *flags: str) -> Fix:
    """Switches off, named after the first of them."""
    return Fix(say("fix.off", what=_label(draft, flags[0])), dict.fromkeys(flags, False))


def set_to(draft: Draft, flag: str, value: Any, **more: Any) -> Fix:
    """A value for a field, and more that goes with it."""
    shown = re.sub(r"e-0", "e-", f"{value:g}") if isinstance(value, float) else value
    return Fix(say("fix.set", what=_label(draft, flag), value=shown), {flag: value, **more})


def leave_out(draft: Draft, *flags: str) -> Fix:
    """The defaults again, whatever the project gives; named after the first field."""
    return Fix(say("fix.leave_out", what=_label(draft, flags[0])), {flag: _plain(draft, flag) for flag in flags})


def keep(draft: Draft, flag: str, others: Iterable[str]) -> Fix:
    """Of options that exclude each other this one stays."""
    return Fix(say("fix.keep", what=_label(draft, flag)), {other: _plain(draft, other) for other in others})


def keep_each(draft: Draft, *flags: str) -> tuple[Fix, ...]:
    """Of options that exclude each other any one stays."""
    return tuple(keep(draft, flag, [other for other in flags if other != flag]) for flag in flags)


def from_project(draft: Draft, flag: str) -> Fix:
    """What the project gives."""
    return Fix(say("fix.from_project"), {flag: None})


def browse(flag: str) -> Fix:
    """Another path, chosen in the page's browser of files."""
    return Fix(say("fix.browse"), action="browse", facts={"flag": flag})


def show(pictures: Iterable[Path]) -> Fix:
    """The pictures that are meant, in the Dataset tab: there they are seen, and their texts written."""
    shown = list(islice(pictures, MOST_SHOWN))
    # As the Dataset tab names them: the folder's links followed, not the picture's own.
    folders = {path.parent: os.path.realpath(path.parent) for path in shown}
    paths = [os.path.join(folders[path.parent], path.name) for path in shown]
    return Fix(say("fix.show"), action="show", facts={"pictures": paths, "folders": sorted(set(folders.values()))})


def go(stage: str, **values: Any) -> Fix:
    """The stage that is to be run first, with values in its form."""
    return Fix(say("fix.go", stage=say(f"stage.{stage}")), action="open", facts={"stage": stage, "values": values})


def rename(draft: Draft, flag: str, free: str) -> Fix:
    """A name that is not taken."""
    return Fix(say("fix.rename", name=Path(free).name), {flag: free})


def free_name(name: str, is_taken: Callable[[str], bool]) -> str:
    """The name with the first number behind it, from 2 on, that is not taken."""
    stem = re.sub(r"-\d{1,3}$", "", name)
    return next(f"{stem}-{n}" for n in range(2, 10_000) if not is_taken(f"{stem}-{n}"))


def for_value(draft: Draft, spec: OptionSpec, error: BadValue) -> tuple[Fix, ...]:
    """For a value that an option does not take: the nearest that it does."""
    nearest = {"too_low": spec.range.low, "too_high": spec.range.high}.get(error.key)
    if error.key == "not_whole":
        nearest = max(round(float(str(error.facts["value"]))), int(spec.range.low or 1))
    if nearest is not None and not spec.many:
        return (set_to(draft, spec.name, nearest),)
    return ()


def with_usual(draft: Draft, finding: Finding) -> Finding:
    """The finding with the fixes that any field has, where it brings none of its own."""
    spec = draft.specs.get(finding.field or "")
    if finding.fixes or spec is None or finding.level not in ("error", "warning"):
        return finding
    return replace(finding, fixes=tuple(_usual(draft, spec)))


def _usual(draft: Draft, spec: OptionSpec) -> Iterable[Fix]:
    if draft.given(spec.name) not in (None, draft.typed.get(spec.name)):
        yield from_project(draft, spec.name)
    if spec.path:
        yield browse(spec.name)
    elif not spec.required and not spec.secret and draft.typed.get(spec.name) not in (None, "", spec.default):
        yield leave_out(draft, spec.name)


def _label(draft: Draft, flag: str) -> str:
    return label(draft.stage.id, draft.stage.tab, flag)


def _plain(draft: Draft, flag: str) -> Any:
    """An option's default as the form takes it."""
    default = draft.specs[flag].default
    return "" if default is None else default
