"""Which pictures a stage reads: those of a folder, of the folders below it, or of metadata's entries."""

import os
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path

from kohya_gui import found
from sd_scripts.library.data.images import IMAGE_SUFFIXES


@found.by_time
def files_in(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder itself, sorted. Errors: OSError."""
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if _is_picture(entry.name)]
    return tuple(folder / name for name in sorted(names))


def files_below(folder: Path) -> list[Path]:
    """The pictures of the folders below, without its own and hidden ones; of a thousand folders at most."""
    walked = islice(_walk(folder), 1, found.MOST_FOLDERS)
    return [Path(place) / name for place, names in walked for name in sorted(names) if _is_picture(name)]


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield place, names


def of_entries(keys: Iterable[str], folder: Path | None) -> dict[str, Path]:
    """{key: its picture}, of those that are there: keys are paths or names in the folder, perhaps without an ending."""
    listed: dict[str, dict[str, Path]] = {}
    there: dict[str, Path] = {}
    for key in keys:
        # A full path stands alone. There may be ten thousand, for which Path would take long.
        place, name = os.path.split(os.path.join(folder or "", key))
        if place not in listed:
            listed[place] = _by_name(Path(place))
        if name in listed[place]:
            there[key] = listed[place][name]
    return there


def _by_name(folder: Path) -> dict[str, Path]:
    try:
        files = files_in(folder)
    except OSError:
        return {}
    return {file.stem: file for file in reversed(files)} | {file.name: file for file in files}


def _is_picture(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")
