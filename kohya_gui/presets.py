"""Presets: values of a stage by name, as JSON files. Ours are read-only; the user's lie in the data folder."""

import hashlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kohya_gui.stages import STAGES
from kohya_gui.words import bad_value, refusal
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import write_json
from sd_scripts.options.spec import option_specs
from sd_scripts.options.values import BadValue, changed_values, read_value

VERSION = 1
Saved = dict[str, Any]

# {version: the step from it to the next one}
MIGRATIONS: dict[int, Callable[[Saved], Saved]] = {}


@dataclass(frozen=True)
class Preset:
    """Values that differ from the defaults. `unknown`: flags in the file that this version does not have.

    `ja`: name and description of one of ours in Japanese. The name tells presets apart in every language.
    """

    name: str
    description: str
    builtin: bool
    values: dict[str, Any]
    unknown: list[str] = field(default_factory=list)
    ja: dict[str, str] = field(default_factory=dict)


class PresetStore:
    """The presets of all stages."""

    def __init__(self, builtin_dir: Path, user_dir: Path) -> None:
        self.builtin_dir = builtin_dir
        self.user_dir = user_dir

    def all(self, stage: str) -> dict[str, list[Preset]]:
        """{"builtin": [...], "mine": [...]} of a stage. A file that cannot be read is left out."""
        return {"builtin": self._read(self.builtin_dir, stage, True), "mine": self._read(self.user_dir, stage, False)}

    def save(self, stage: str, name: str, description: str, typed: dict[str, Any]) -> Preset:
        """Keeps values under a name; one of the same name is replaced. Secrets are never kept. Errors: BadOption."""
        name = name.strip()
        if not name or len(name) > 60:
            raise refusal("name", "preset.name_needed")
        values = _own_values(stage, typed)
        saved = {"version": VERSION, "stage": stage, "name": name, "description": description.strip(), "values": values}
        write_json(self._path(stage, name), saved)
        return Preset(name, description.strip(), False, values)

    def delete(self, stage: str, name: str) -> None:
        """Deletes one of the user's presets. Errors: BadOption."""
        path = self._path(stage, name.strip())
        if not path.is_file():
            raise refusal("name", "preset.unknown", name=name)
        path.unlink()

    def _path(self, stage: str, name: str) -> Path:
        """A safe file name of any name: its letters, and a digest that keeps two names apart on every system."""
        letters = re.sub(r"\W+", "-", name).strip("-")[:40]
        return self.user_dir / stage / f"{letters}-{hashlib.sha256(name.encode()).hexdigest()[:8]}.json"

    def _read(self, folder: Path, stage: str, builtin: bool) -> list[Preset]:
        if stage not in STAGES:
            raise refusal("stage", "stage.unknown", stage=stage)
        found = [preset_from(path, builtin) for path in sorted((folder / stage).glob("*.json"))]
        return [preset for preset in found if preset]


def preset_from(path: Path, builtin: bool) -> Preset | None:
    """The preset in a file, brought to the present version; None for a file that is none."""
    try:
        saved: Saved = json.loads(path.read_text(encoding="utf-8"))
        saved = migrated(saved)
        known = option_specs(STAGES[saved["stage"]].options)
        values = {flag: value for flag, value in saved["values"].items() if flag in known and value not in ("", None)}
        unknown = sorted(saved["values"].keys() - known.keys())
        return Preset(saved["name"], saved["description"], builtin, values, unknown, saved["ja"] if builtin else {})
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def migrated(saved: Saved) -> Saved:
    """What was saved by an older version, step by step. Errors: ValueError for one from a newer version."""
    while saved["version"] != VERSION:
        if saved["version"] not in MIGRATIONS:
            raise ValueError(f"version {saved['version']}")
        saved = MIGRATIONS[saved["version"]](saved)
    return saved


def _own_values(stage: str, typed: dict[str, Any]) -> dict[str, Any]:
    if stage not in STAGES:
        raise refusal("stage", "stage.unknown", stage=stage)
    specs = option_specs(STAGES[stage].options)
    values: dict[str, Any] = {}
    for flag, value in typed.items():
        if flag not in specs:
            raise refusal(flag, "check.unknown_flag", flag=flag)
        if specs[flag].secret or value in ("", None):
            continue
        try:
            values[flag] = read_value(specs[flag], value)
        except BadValue as error:
            raise BadOption(flag, bad_value(error)) from error
    return changed_values(STAGES[stage].options, values)
