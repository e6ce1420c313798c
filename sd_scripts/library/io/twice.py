"""JSON files of which a copy lies beside: where one of the two is damaged, the other serves. Needs no torch."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.library.io.atomic import copy_of, write_json


class Found(NamedTuple):
    """What was read. `damaged`: the file itself could not be, so `value` is what its copy holds, or None."""

    value: Any
    damaged: bool


def write_twice(path: Path, value: Any) -> None:
    """Writes a file and then its copy, each whole or not at all. What is damaged is kept as NAME.damaged.

    Errors: BadFile.
    """
    if read_either(path, _anything).damaged:
        os.replace(path, path.with_name(path.name + ".damaged"))
    write_json(path, value)
    write_json(copy_of(path), value)


def read_either(path: Path, read: Callable[[Any], Any]) -> Found:
    """What `read` makes of a file's JSON, or where that is damaged of its copy's; None where there is neither.

    `read` raises ValueError, TypeError, KeyError or AttributeError for what it cannot use.
    """
    value, damaged = _read(path, read)
    return Found(_read(copy_of(path), read)[0], True) if damaged else Found(value, False)


def _read(path: Path, read: Callable[[Any], Any]) -> tuple[Any, bool]:
    try:
        return read(json.loads(path.read_bytes())), False
    except FileNotFoundError:
        return None, False
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None, True


def _anything(value: Any) -> Any:
    return value
