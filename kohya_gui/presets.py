"""Presets: values of a stage by name, as JSON files. Ours are read-only; the user's lie in the data folder."""

import hashlib
import itertools
import json
import os
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

from kohya_gui.stages import STAGES, Stage
from kohya_gui.words import bad_value, refusal
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import write_json
from sd_scripts.library.io.leftovers import is_leftover
from sd_scripts.library.io.reading import parse_json, read_text
from sd_scripts.options.spec import option_specs
from sd_scripts.options.values import BadValue, changed_values, read_value

VERSION = 2
LONGEST_NAME = 60
Saved = dict[str, Any]
Scope = Literal["changed", "all"]
"""What a preset keeps: what differs from the defaults, or every value."""

MIGRATIONS: dict[int, Callable[[Saved], Saved]] = {
    # Version 1 kept only what differs.
    1: lambda saved: {**saved, "version": 2, "scope": "changed"},
}
"""{version: the step from it to the next one}"""


@dataclass(frozen=True)
class Preset:
    """Values of a stage. `unknown`: flags in the file that this version does not have.

    `ja`: name and description of one of ours in Japanese. The name tells presets apart in every language.
    """

    name: str
    description: str
    builtin: bool
    values: dict[str, Any]
    scope: Scope = "changed"
    unknown: list[str] = field(default_factory=list)
    ja: dict[str, str] = field(default_factory=dict)


class PresetStore:
    """The presets of all stages."""

    def __init__(self, builtin_dir: Path, user_dir: Path) -> None:
        self.builtin_dir = builtin_dir
        self.user_dir = user_dir

    def all(self, stage: str) -> dict[str, list[Preset]]:
        """{"builtin": [...], "mine": [...]} of a stage; `damaged` tells of files that are left out."""
        return {"builtin": self._read(self.builtin_dir, stage, True), "mine": self._read(self.user_dir, stage, False)}

    def damaged(self, stage: str) -> list[Path]:
        """The user's files that cannot be read as presets of this version."""
        return [path for path in self._paths(self.user_dir, stage) if preset_from(path, False) is None]

    def save(self, stage: str, name: str, description: str, typed: dict[str, Any], scope: Scope = "changed") -> Preset:
        """Keeps values under a name; one of the same name is replaced. Secrets are never kept. Errors: BadOption."""
        name, description = self._checked_name(stage, name), description.strip()
        preset = Preset(name, description, False, _own_values(stage, typed, scope), scope)
        write_json(self._found(stage, name) or self._free_path(stage, name), as_saved(stage, preset))
        return preset

    def edit(self, stage: str, name: str, new_name: str, description: str) -> Preset:
        """Renames and describes one of the user's presets; of one of ours, a copy is made. Errors: BadOption."""
        before = self.get(stage, name)
        new_name = self._checked_name(stage, new_name)
        moves = before.builtin or new_name != before.name
        if moves and self._found(stage, new_name):
            raise refusal("name", "preset.exists", name=new_name)
        after = replace(before, name=new_name, description=description.strip(), builtin=False, ja={})
        old = None if before.builtin else self._found(stage, before.name)
        # First its content, then the name of its file: at no moment are there two of it, or none.
        write_json(old or self._free_path(stage, new_name), as_saved(stage, after))
        if old and moves:
            os.replace(old, self._free_path(stage, new_name))
        return after

    def get(self, stage: str, name: str) -> Preset:
        """A preset by its name. Errors: BadOption."""
        everything = self.all(stage)
        found = [preset for preset in everything["mine"] + everything["builtin"] if preset.name == name]
        if not found:
            raise refusal("name", "preset.unknown", name=name)
        return found[0]

    def exported(self, stage: str, name: str) -> tuple[str, str]:
        """(file name, text) of a preset, to be taken along and read again."""
        preset = self.get(stage, name)
        text = json.dumps(as_saved(stage, preset), ensure_ascii=False, indent=2)
        return f"{stage}-{_letters(preset.name)}.json", f"{text}\n"

    def delete(self, stage: str, name: str) -> None:
        """Deletes one of the user's presets. Errors: BadOption."""
        path = self._found(stage, name)
        if path is None:
            raise refusal("name", "preset.unknown", name=name)
        path.unlink()

    def _checked_name(self, stage: str, name: str) -> str:
        name = name.strip()
        if not name or len(name) > LONGEST_NAME:
            raise refusal("name", "preset.name_needed")
        if any(preset.name == name for preset in self._read(self.builtin_dir, stage, True)):
            raise refusal("name", "preset.builtin", name=name)
        return name

    def _free_path(self, stage: str, name: str) -> Path:
        """A safe file name of any name: its letters, and a digest that keeps two names apart on every system.

        Not that of a preset which was renamed, and kept its file.
        """
        stem = f"{_letters(name)}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"
        names = (f"{stem}{f'-{number}' if number else ''}.json" for number in itertools.count())
        paths = (self.user_dir / stage / name for name in names)
        return next(path for path in paths if not preset_from(path, False))

    def _found(self, stage: str, name: str) -> Path | None:
        """The file of one of the user's presets; a file put there by hand may have any name."""
        return next((path for path, preset in self._files(self.user_dir, stage, False) if preset.name == name), None)

    def _read(self, folder: Path, stage: str, builtin: bool) -> list[Preset]:
        return [preset for _, preset in self._files(folder, stage, builtin)]

    def _files(self, folder: Path, stage: str, builtin: bool) -> list[tuple[Path, Preset]]:
        read = [(path, preset_from(path, builtin)) for path in self._paths(folder, stage)]
        return [(path, preset) for path, preset in read if preset]

    def _paths(self, folder: Path, stage: str) -> list[Path]:
        """Not those that are being written: they have names of their own until they are whole."""
        known_stage(stage)
        return [path for path in sorted((folder / stage).glob("*.json")) if not is_leftover(path.name)]


def preset_from(path: Path, builtin: bool) -> Preset | None:
    """The preset in a file, brought to the present version; None for a file that is none."""
    try:
        saved: Saved = parse_json(read_text(path))
        saved = migrated(saved)
        specs = option_specs(STAGES[saved["stage"]].options)
        known = {name: spec for spec in specs.values() for name in (spec.name, *spec.former)}
        given = {flag: value for flag, value in saved["values"].items() if value not in ("", None)}
        values = {known[flag].name: value for flag, value in given.items() if flag in known and not known[flag].secret}
        unknown = sorted(given.keys() - known.keys())
        ja = saved["ja"] if builtin else {}
        return Preset(saved["name"], saved["description"], builtin, values, saved["scope"], unknown, ja)
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def migrated(saved: Saved) -> Saved:
    """What was saved by an older version, step by step. Errors: ValueError for one from a newer version."""
    while saved["version"] != VERSION:
        if saved["version"] not in MIGRATIONS:
            raise ValueError(f"version {saved['version']}")
        saved = MIGRATIONS[saved["version"]](saved)
    return saved


def as_saved(stage: str, preset: Preset) -> Saved:
    """A preset as it stands in a file of the present version."""
    return {
        "version": VERSION,
        "stage": stage,
        "name": preset.name,
        "description": preset.description,
        "scope": preset.scope,
        "values": preset.values,
    }


def known_stage(name: str) -> Stage:
    """The stage of a name. Errors: BadOption."""
    if name not in STAGES:
        raise refusal("stage", "stage.unknown", stage=name)
    return STAGES[name]


def _letters(name: str) -> str:
    """What of a name may stand in the name of a file."""
    return re.sub(r"\W+", "-", name).strip("-")[:40]


def _own_values(stage: str, typed: dict[str, Any], scope: Scope) -> dict[str, Any]:
    specs = option_specs(STAGES[stage].options)
    values: dict[str, Any] = {}
    for flag, value in typed.items():
        if flag not in specs:
            raise refusal(flag, "check.unknown_flag", flag=flag)
        if specs[flag].secret or value in ("", None, []):
            continue
        try:
            values[flag] = read_value(specs[flag], value)
        except BadValue as error:
            raise BadOption(flag, bad_value(error)) from error
    return values if scope == "all" else changed_values(STAGES[stage].options, values)
