"""Pictures and texts that a run of the page may read: those below the page's roots, wherever their names are linked to.

A folder from an archive may hold links to files of the user's own. Without the variable (in a terminal) all is reached.
"""

import functools
import json
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

ROOTS_VARIABLE = "SD_SCRIPTS_ROOTS"
"""Environment variable of runs that the page starts: a JSON list of the folders that may be reached."""

OUTSIDE = "it leads out of the folders that the page may reach (--root)"

# Looked at once: it is asked for each of a million files.
_TOLD = os.environ.get(ROOTS_VARIABLE, "")

# Keys, settings and start files lie in what is hidden; models that were downloaded lie there too.
_HIDDEN_YET_SHOWN = (".cache", "huggingface", "hub")


def as_variable(folders: Iterable[str | Path]) -> dict[str, str]:
    """The variable for these folders; none for none."""
    told = [str(folder) for folder in folders]
    return {ROOTS_VARIABLE: json.dumps(told)} if told else {}


def is_out_of_reach(path: str | Path) -> bool:
    """Whether a file lies, where its links lead, outside of the folders that this run may reach."""
    if not _TOLD:
        return False
    place = os.path.realpath(path) if os.path.islink(path) else os.fspath(path)
    folder, name = os.path.split(place)
    return name.startswith(".") or not _is_folder_reached(folder, _TOLD)


# What is asked of the folder is asked once.
@functools.lru_cache(maxsize=4096)
def _is_folder_reached(folder: str, told: str) -> bool:
    place = Path(folder).resolve()
    roots = map(Path, json.loads(told))
    return any(not is_hidden(place.relative_to(root).parts) for root in roots if place.is_relative_to(root))


def is_hidden(parts: Sequence[str]) -> bool:
    """Whether a path below a root leads through what is hidden."""
    known = len(_HIDDEN_YET_SHOWN)
    rest = parts[known:] if tuple(parts[:known]) == _HIDDEN_YET_SHOWN else parts
    return any(part.startswith(".") for part in rest)
