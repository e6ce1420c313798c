"""A stage as it stands in the form: what was typed, read into values, with what surrounds it."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.stages import Stage, stage_values
from kohya_gui.words import say
from sd_scripts.options.spec import OptionSpec, option_specs

Level = Literal["error", "warning", "fine"]


@dataclass(frozen=True)
class Finding:
    """Something that stands against a start, or for it; `field` is the flag to blame."""

    level: Level
    field: str | None
    text: str


@dataclass
class Draft:
    """`values`: those that could be read, paths absolute. `coming`: files, resolved, that earlier runs write."""

    stage: Stage
    project: Project
    roots: Roots
    base: Path
    values: dict[str, Any] = field(default_factory=dict)
    coming: frozenset[Path] = frozenset()

    @property
    def specs(self) -> dict[str, OptionSpec]:
        """The stage's options."""
        return option_specs(self.stage.options)

    def get(self, flag: str) -> Any:
        """The value of a flag, or its default; None for a flag that the stage lacks."""
        spec = self.specs.get(flag)
        return self.values.get(flag, spec.default if spec else None)

    def path(self, flag: str) -> Path | None:
        """The path that a flag names, if it names one."""
        value = self.get(flag)
        return Path(value) if value else None

    def will_come(self, path: Path) -> bool:
        """Whether an earlier run will write this file."""
        return path.resolve() in self.coming

    def linked(self, flag: str) -> bool:
        """Whether a value is the one that the project gives."""
        filled = stage_values(self.stage, self.project).values
        return flag in filled and flag in self.values and str(filled[flag]) == str(self.values[flag])

    def error(self, field: str | None, key: str, **facts: Any) -> Finding:
        """A finding that blocks a start."""
        return Finding("error", field, say(key, **facts))

    def warning(self, field: str | None, key: str, **facts: Any) -> Finding:
        """A finding that asks once before a start."""
        return Finding("warning", field, say(key, **facts))

    def fine(self, key: str, **facts: Any) -> Finding:
        """A finding that says what is in order."""
        return Finding("fine", None, say(key, **facts))
