"""Options from a TOML file: `--config_file`. Its sections have no meaning; the command line wins over it."""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.reading import parse_toml, read_text
from sd_scripts.options.spec import OptionSpec, PathTo
from sd_scripts.options.values import BadValue, read_value

ENDING = ".toml"


@dataclass(kw_only=True)
class ConfigFileOptions:
    """Options from a file and into one."""

    config_file: Annotated[str | None, PathTo("file")] = None
    """TOML file with options; .toml may be left off. What the command line gives wins over it."""

    output_config: bool = False
    """Write the options of this command line into the file that config_file names, and end."""


ON_COMMAND_LINE_ONLY = ("config_file", "output_config")


def config_path(name: str) -> Path:
    """The file that `--config_file` names."""
    return Path(name if name.endswith(ENDING) else name + ENDING)


def read_config(name: str, specs: dict[str, OptionSpec], reasons: dict[str, str]) -> dict[str, Any]:
    """{option: value} of a file; `reasons` says of refused options why. Errors: BadOption, naming file and option."""
    path = config_path(name)
    known = {old: spec for spec in specs.values() for old in (spec.name, *spec.former)}
    values: dict[str, Any] = {}
    for key, value in _flat(_read(path), path):
        if key in ON_COMMAND_LINE_ONLY:
            raise BadOption(key, f"{path}: {key} stands on the command line only.")
        if key not in known:
            raise BadOption(key, f"{path}: {_unknown(key, known, reasons)}")
        spec = known[key]
        if spec.name in values:
            raise BadOption(spec.name, f"{path}: {spec.name} stands there twice.")
        values[spec.name] = _value(spec, value, path)
    return values


def given_names(argv: list[str], specs: dict[str, OptionSpec]) -> set[str]:
    """The options that a command line gives."""
    known = {old: spec.name for spec in specs.values() for old in (spec.name, *spec.former)}
    words = (word.split("=")[0].removeprefix("--").replace("-", "_") for word in argv if word.startswith("--"))
    return {known[word] for word in words if word in known}


def _read(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(read_text(path))
    except OSError as error:
        raise BadOption("config_file", f"--config_file {path}: {error.strerror}. Name a TOML file.") from error
    except ValueError as error:
        raise BadOption("config_file", f"--config_file {path} is no TOML file: {error}.") from error


def _flat(tree: dict[str, Any], path: Path) -> Iterator[tuple[str, Any]]:
    """Keys and values at the top and in the sections."""
    if "datasets" in tree:
        sentence = f"{path}: datasets belong into a file of their own. Name it with --dataset_config."
        raise BadOption("config_file", sentence)
    for key, value in tree.items():
        inner = value if isinstance(value, dict) else {key: value}
        for name, one in inner.items():
            if isinstance(one, dict):
                raise BadOption("config_file", f"{path}: {key}.{name} is a section within a section. Use one level.")
            yield name, one


def _unknown(key: str, known: dict[str, OptionSpec], reasons: dict[str, str]) -> str:
    if key in reasons:
        return f"{key} {reasons[key]}"
    close = difflib.get_close_matches(key, known, n=1, cutoff=0.6)
    return f"there is no option {key}." + (f" Did you mean {close[0]}?" if close else " --help lists all options.")


_TYPES: dict[str, tuple[type | tuple[type, ...], str]] = {
    "bool": (bool, "Write true or false, without quotes."),
    "int": ((int, float), "Write a number, without quotes."),
    "float": ((int, float), "Write a number, without quotes."),
    "number": ((int, float), "Write a number, without quotes."),
    "str": (str, "Write text, in quotes."),
}


def _value(spec: OptionSpec, value: Any, path: Path) -> Any:
    # A secret must not come to light in a sentence either.
    where = f"{path}: {spec.name}" if spec.secret else f"{path}: {spec.name} = {_shown(value)}"
    if spec.many != isinstance(value, list):
        raise BadOption(spec.name, f"{where}: {_LIST if spec.many else _TYPES[spec.kind][1]}")
    types, hint = _TYPES[spec.kind]
    for one in value if spec.many else [value]:
        if not isinstance(one, types) or isinstance(one, bool) != (spec.kind == "bool"):
            raise BadOption(spec.name, f"{where}: {hint}")
    try:
        # Empty text is a value here, as on a command line.
        return value if value == "" else read_value(spec, value)
    except BadValue as error:
        raise BadOption(spec.name, f"{where}: {error}") from error


_LIST = 'Write a list: ["one", "two"].'


def _shown(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value).lower() if isinstance(value, bool) else str(value)
