"""The TOML files of sd-scripts' --config_file: flags by name; their sections have no meaning."""

from typing import Any

from kohya_gui.importing.report import Report
from kohya_gui.importing.taker import Taker
from kohya_gui.importing.trainings import family_of, method_of, training_report
from kohya_gui.words import refusal, say
from sd_scripts.library.io.reading import parse_toml


def parsed(text: str) -> dict[str, Any]:
    """The content of a TOML file. Errors: BadOption, with the place of the fault."""
    try:
        return parse_toml(text)
    except ValueError as error:
        raise refusal("text", "import.broken_toml", why=error) from error


def read_toml(tree: dict[str, Any], name: str, stage: str) -> Report:
    """The report of a file. `stage`: the one that is open, whose family of models is meant."""
    flat = {key for name, given in tree.items() for key in (given if isinstance(given, dict) else [name])}
    report = training_report("toml", name, method_of(flat), family_of(stage))
    taker = Taker(report)
    for key, given in tree.items():
        if key in ("datasets", "general"):
            taker.leave(key, "[…]", say("import.dataset_config"))
        elif isinstance(given, dict):
            for inner, value in given.items():
                _take(taker, inner, value, f"[{key}] {inner}")
        else:
            _take(taker, key, given, key)
    return report


def _take(taker: Taker, flag: str, given: Any, key: str) -> None:
    if isinstance(given, dict):
        taker.leave(key, "{…}", say("import.deep"))
    else:
        taker.take(flag.replace("-", "_"), given, key)
