"""Reads a --dataset_config: which keys stand where, of what types, and which level gives a value. Needs no torch."""

import difflib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.reading import parse_json, parse_toml, read_text
from sd_scripts.options import dataset_config as keys
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import OptionSpec, option_specs
from sd_scripts.options.values import BadValue, check_value

SPECS = {
    name: spec for name, spec in option_specs(keys.DatasetConfigKeys).items() if name not in keys.RUN_OPTIONS
}  # fmt: skip
"""{key: what it takes}, for all levels."""

NAMES_OF_OPTIONS = {"num_repeats": "dataset_repeats", "batch_size": "train_batch_size"}
"""{key: the option that gives it where the file does not}, where the names differ."""

_SHARED = frozenset(SPECS) - frozenset(keys.PATH_KEYS)
LEVELS: dict[str, frozenset[str]] = {
    "general": _SHARED,
    "datasets": _SHARED,
    "subsets": frozenset(SPECS) - frozenset(keys.DATASET_KEYS),
}
"""Which keys may stand at a level."""

_PLACES = {"general": "[general]", "datasets": "[[datasets]]", "subsets": "[[datasets.subsets]]"}


@dataclass(frozen=True)
class Table:
    """A table of the file: its place in words, and its checked values as the options take them."""

    where: str
    values: dict[str, Any]


@dataclass(frozen=True)
class DatasetTables:
    """A dataset's own values over the general ones, and its subsets' over both. `named`: what the file itself says."""

    dataset: Table
    subsets: tuple[Table, ...]


def read_dataset_config(file: str) -> list[DatasetTables]:
    """The datasets of a file; the nearest level has won. Errors: BadOption (of dataset_config), BadFile."""
    found = _parsed(Path(file))
    name = Path(file).name
    _only(found, ("general", "datasets"), name)
    general = _checked(_table(found.get("general", {}), f"{name}, [general]"), "general", f"{name}, [general]")
    datasets = _tables(found.get("datasets"), "datasets", name)
    return [_dataset(one, general, f"{name}, dataset {number}") for number, one in enumerate(datasets, 1)]


def _dataset(found: dict[str, Any], general: dict[str, Any], where: str) -> DatasetTables:
    subsets = _tables(found.get("subsets"), "datasets.subsets", where)
    told = _checked({k: v for k, v in found.items() if k != "subsets"}, "datasets", where)
    own = general | told
    tables = [_subset(one, own, f"{where}, subset {number}") for number, one in enumerate(subsets, 1)]
    with_metadata = {"metadata_file" in table.values for table in tables}
    if len(with_metadata) > 1:
        raise _bad(
            f"{where}: its subsets are of two kinds, with a metadata_file and without. Put them into two datasets."
        )
    if with_metadata == {True}:
        _refuse_folder_keys(told, f"{where}: {{}} is for folders of pictures, and its subsets have metadata files.")
    return DatasetTables(Table(where, own), tuple(tables))


def _subset(found: dict[str, Any], above: dict[str, Any], where: str) -> Table:
    own = _checked(found, "subsets", where)
    if not (own.get("metadata_file") or own.get("image_dir")):
        raise _bad(f"{where}: it names no pictures. Give it an image_dir, or a metadata_file.")
    if "metadata_file" in own:
        _refuse_folder_keys(own, f"{where}: {{}} is for folders of pictures, and this subset has a metadata_file.")
    return Table(where, above | own)


def _refuse_folder_keys(told: dict[str, Any], sentence: str) -> None:
    """Raises BadOption for a key that would do nothing; of all datasets, in [general], it is meant for the others."""
    misplaced = next((key for key in keys.FOLDER_KEYS if key in told), None)
    if misplaced:
        raise _bad(sentence.format(misplaced))


def _parsed(file: Path) -> dict[str, Any]:
    if not file.is_file():
        what = "this is a folder" if file.is_dir() else "there is no such file"
        raise _bad(f'--dataset_config "{file}": {what}. Name a .toml or .json file.')
    try:
        text = read_text(file)
        found = parse_json(text) if file.suffix.lower() == ".json" else parse_toml(text)
    except UnicodeDecodeError as error:
        raise BadFile(f"{file} is not UTF-8 text. Save it as UTF-8.") from error
    except OSError as error:
        raise BadFile(f"{file} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        kind = "JSON" if file.suffix.lower() == ".json" else "TOML"
        raise BadFile(f"{file} is no {kind} that can be read: {error}.") from error
    return _table(found, file.name)


def _table(found: Any, where: str) -> dict[str, Any]:
    if not isinstance(found, dict):
        raise _bad(f"{where}: it is {_said(found)}, not a table of keys and values.")
    return found


def _tables(found: Any, name: str, where: str) -> list[dict[str, Any]]:
    if found is None or found == []:
        raise _bad(f"{where}: there is no [[{name}]]. Write one for each {name.split('.')[-1][:-1]}.")
    if not isinstance(found, list):
        raise _bad(f"{where}: {name} must be a list of tables. Write [[{name}]], with two brackets.")
    return [_table(one, f"{where}, {name}") for one in found]


def _only(found: dict[str, Any], allowed: Collection[str], where: str) -> None:
    for key in found:
        if key not in allowed:
            raise _bad(f"{where}: {_unknown(key, allowed)}")


def _checked(found: dict[str, Any], level: str, where: str) -> dict[str, Any]:
    """The values of a table as the options take them."""
    _only(found, LEVELS[level], where)
    return {key: _value(SPECS[key], value, where) for key, value in found.items()}


def _unknown(key: str, allowed: Collection[str]) -> str:
    """Why a key cannot stand where it does."""
    if key in keys.REFUSED_KEYS:
        return f"{key} {keys.REFUSED_KEYS[key]}"
    places = [_PLACES[level] for level, known in LEVELS.items() if key in known]
    if places:
        return f"{key} cannot stand here. Write it in {' or '.join(places)}."
    by_flag = {flag: name for name, flag in NAMES_OF_OPTIONS.items()}
    if key not in by_flag and key in option_specs(FineTuneOptions):
        return f"{key} holds for the whole run. Write --{key} on the command line."
    near = [by_flag[key]] if key in by_flag else difflib.get_close_matches(key, sorted(allowed), n=1)
    hint = f"Did you mean {near[0]}?" if near else f"Known here: {', '.join(sorted(allowed))}."
    return f"there is no key {key}. {hint}"


def _value(spec: OptionSpec, value: Any, where: str) -> Any:
    shaped = _SHAPES[spec.name](value) if spec.name in _SHAPES else value
    if shaped is None or not _KINDS[spec.kind](shaped):
        raise _bad(f"{where}: {spec.name} must be {_WANTED.get(spec.name, _WORDS[spec.kind])}, not {_said(value)}.")
    try:
        check_value(spec, shaped)
    except BadValue as error:
        raise _bad(f"{where}: {spec.name} {_said(value)}: {error}") from error
    return float(shaped) if spec.kind == "float" else shaped


def _bad(sentence: str) -> BadOption:
    return BadOption("dataset_config", sentence)


def _said(value: Any) -> str:
    """A value as it stands in the file."""
    return json.dumps(value, ensure_ascii=False, default=str)


def _numbers(value: Any, kind: Callable[[Any], bool]) -> str | None:
    """Two numbers as the command line takes them: 512,768; None where they are none."""
    return ",".join(map(str, value)) if isinstance(value, list) and len(value) == 2 and all(map(kind, value)) else None


def _is_int(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_SHAPES: dict[str, Callable[[Any], str | None]] = {
    "resolution": lambda value: str(value) if _is_int(value) else _numbers(value, _is_int),
    "face_crop_aug_range": lambda value: _numbers(value, _is_number),
}
"""Keys whose values the file writes in another way than the command line."""

_WANTED = {
    "resolution": "one whole number or [width, height]",
    "face_crop_aug_range": "two numbers, such as [1.0, 2.0]",
}
_WORDS = {
    "bool": "true or false",
    "int": "a whole number",
    "float": "a number",
    "number": "a number",
    "str": "text in quotes",
}  # fmt: skip
_KINDS: dict[str, Callable[[Any], bool]] = {
    "bool": lambda value: isinstance(value, bool),
    "int": _is_int,
    "float": _is_number,
    "number": _is_number,
    "str": lambda value: isinstance(value, str),
}
