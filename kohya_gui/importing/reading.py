"""Any text that holds settings: what it is, and its report."""

import json
import re
from pathlib import PurePath
from typing import Any

from kohya_gui.importing import ours
from kohya_gui.importing.command_line import read_command
from kohya_gui.importing.kohya_ss import is_kohya_ss, read_kohya_ss
from kohya_gui.importing.metadata import read_metadata
from kohya_gui.importing.report import Report
from kohya_gui.importing.toml import parsed, read_toml
from kohya_gui.words import refusal
from sd_scripts.library.io.reading import parse_json

LONGEST_LETTERS = 2_000_000


def read_settings(text: str, file_name: str, stage: str) -> Report:
    """The report of a text, which may come from a file. `stage`: what is meant where the text does not say.

    Errors: BadOption, for a text that holds no settings.
    """
    text = text.removeprefix("\ufeff").strip()
    name = PurePath(file_name.replace("\\", "/")).stem
    if not text or len(text) > LONGEST_LETTERS:
        raise refusal("text", "import.too_long" if text else "import.nothing")
    if text.startswith("{"):
        return _of_json(text, name, stage)
    if file_name.lower().endswith(".toml") or not _is_command(text):
        return read_toml(parsed(text), name, stage)
    return read_command(text, stage, name)


def _of_json(text: str, name: str, stage: str) -> Report:
    try:
        found: dict[str, Any] = parse_json(text)
    except json.JSONDecodeError as error:
        raise refusal("text", "import.broken_json", line=error.lineno, why=error.msg) from error
    except ValueError as error:
        raise refusal("text", "import.broken_json", line=1, why=error) from error
    if isinstance(found.get("__metadata__"), dict):
        return read_metadata(found["__metadata__"], name)
    if ours.is_ours(found):
        return ours.read_ours(found)
    if not is_kohya_ss(found):
        raise refusal("text", "import.unknown_json")
    return read_kohya_ss(found, name, stage)


def _is_command(text: str) -> bool:
    """Whether a text has options as a command line has them, at the beginning of a word and outside of TOML's lines."""
    return bool(re.search(r"(^|\s)--\w", text)) and not re.match(r"\s*(\[[\w.\s\"]+\]|\w+\s*=\s)", text)
