"""A stage as it stands in the form: what was typed, read into values, with what surrounds it."""

import dataclasses
import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.stages import Stage, stage_values
from kohya_gui.words import label, say
from sd_scripts.options.spec import OptionSpec, option_specs

T = TypeVar("T")

_NAMES_OF_FIELDS = ("needed", "first", "second", "other", "flag")
"""Facts of findings in which flags stand, some with their values."""

Level = Literal["error", "warning", "note", "fine"]
"""Errors block a start, warnings ask once; notes and what is in order are only said."""


@dataclass(frozen=True)
class Fix:
    """A button beside a finding.

    `values` go into the form; None there resets a field. `action` is what the page does besides, told by `facts`.
    """

    label: str
    values: dict[str, Any] = dataclasses.field(default_factory=dict)
    action: str = ""
    facts: dict[str, Any] = dataclasses.field(default_factory=dict)


@dataclass(frozen=True)
class Finding:
    """Something that stands against a start, or for it; `field` is the flag to blame.

    `key` names the sentence, whatever its language; one of the training program has none. `stage`: in the pipeline the
    stage whose field it is.
    """

    level: Level
    field: str | None
    text: str
    fixes: tuple[Fix, ...] = ()
    key: str = ""
    stage: str = ""


def by_level(findings: Iterable[Finding]) -> list[Finding]:
    """What blocks comes first, what is in order last."""
    return sorted(findings, key=lambda one: get_args(Level).index(one.level))


@dataclass
class Draft:
    """`typed`: what the form sent; `values`: those of it that could be read, paths absolute.

    `coming`: files, resolved, that earlier runs write. `known`: what `once` has found out.
    """

    stage: Stage
    project: Project
    roots: Roots
    base: Path
    values: dict[str, Any] = dataclasses.field(default_factory=dict)
    coming: frozenset[Path] = frozenset()
    typed: dict[str, Any] = dataclasses.field(default_factory=dict)
    known: dict[object, Any] = dataclasses.field(default_factory=dict, init=False, repr=False, compare=False)

    @property
    def specs(self) -> dict[str, OptionSpec]:
        """The stage's options."""
        return option_specs(self.stage.options)

    def get(self, flag: str) -> Any:
        """The value of a flag, or its default; None for a flag that the stage lacks."""
        spec = self.specs.get(flag)
        return self.values.get(flag, spec.default if spec else None)

    def path(self, flag: str) -> Path | None:
        """The path that a flag names, if it names one; None for a flag that takes several."""
        value = self.get(flag)
        return Path(value) if value and not isinstance(value, list) else None

    def will_come(self, path: Path) -> bool:
        """Whether an earlier run will write this file."""
        return path.resolve() in self.coming

    def linked(self, flag: str) -> bool:
        """Whether a value is the one that the project gives."""
        given = self.given(flag)
        return given is not None and flag in self.values and str(given) == str(self.values[flag])

    def given(self, flag: str) -> Any:
        """What the project gives for a flag; None where it gives nothing."""
        return stage_values(self.stage, self.project).values.get(flag)

    def mended(self, fix: Fix) -> "Draft":
        """The stage as it stands with the values of a fix."""
        return replace(self, values=self.values | fix.values, typed=self.typed | fix.values)

    def error(self, field: str | None, key: str, *fixes: Fix, **facts: Any) -> Finding:
        """A finding that blocks a start."""
        return Finding("error", field, self._said(key, facts), fixes, key)

    def warning(self, field: str | None, key: str, *fixes: Fix, **facts: Any) -> Finding:
        """A finding that asks once before a start."""
        return Finding("warning", field, self._said(key, facts), fixes, key)

    def note(self, field: str | None, key: str, *fixes: Fix, **facts: Any) -> Finding:
        """A finding to know of, which asks nothing."""
        return Finding("note", field, self._said(key, facts), fixes, key)

    def fine(self, key: str, *fixes: Fix, **facts: Any) -> Finding:
        """A finding that says what is in order."""
        return Finding("fine", None, say(key, **facts), fixes, key)

    def _said(self, key: str, facts: dict[str, Any]) -> str:
        """A sentence in which other fields are called as the form calls them."""
        names = {name: re.sub(r"\w+", self._title, facts[name]) for name in _NAMES_OF_FIELDS if name in facts}
        return say(key, **facts | names)

    def _title(self, word: re.Match[str]) -> str:
        return label(self.stage.id, self.stage.tab, word[0]) if word[0] in self.specs else word[0]


def once(find_out: Callable[[Draft], T]) -> Callable[[Draft], T]:
    """Finds something out once for a draft, as several rules and figures ask for it. Values must not change after."""

    @functools.wraps(find_out)
    def known(draft: Draft) -> T:
        if find_out not in draft.known:
            draft.known[find_out] = find_out(draft)
        found: T = draft.known[find_out]
        return found

    return known
