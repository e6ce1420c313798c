"""Folders of pictures named repeats_words, such as "10_sks dog", as DreamBooth has them. Needs no torch."""

import re
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import BadOption

_NAME = re.compile(r"(\d+)_(.*)")


@dataclass(frozen=True)
class NamedFolder:
    """A folder of pictures; `words` are the caption of those that have no caption file ("" where there are none)."""

    path: Path
    repeats: int = 1
    words: str = ""


def named_folders(parent: str, option: str) -> list[NamedFolder]:
    """The folders in `parent` that are named repeats_words, sorted; where there are none, `parent` itself.

    Errors: BadOption, naming `option`, when there are no pictures either.
    """
    root = Path(parent)
    if not root.is_dir():
        raise BadOption(option, f"--{option} {parent}: there is no such folder.")
    if named := named_in(root):
        return named
    try:
        find_images(root, option=option)
    except BadOption as error:
        raise BadOption(option, f"No data found: {_nothing(root, option)}") from error
    return [_named(root) or NamedFolder(root)]


def named_in(root: Path) -> list[NamedFolder]:
    """The folders in a folder that are named repeats_words, sorted."""
    return [folder for place in folders_in(root) if (folder := _named(place)) and folder.repeats]


def left_out(parent: str) -> list[str]:
    """The names of the folders in `parent` that have pictures and are not read, for want of repeats in their names."""
    root = Path(parent)
    others = [place for place in folders_in(root) if not ((folder := _named(place)) and folder.repeats)]
    return [place.name for place in others if _has_pictures(place)]


def folders_in(root: Path) -> list[Path]:
    """The folders in a folder, sorted, without hidden ones."""
    return sorted(place for place in root.iterdir() if place.is_dir() and not place.name.startswith("."))


def named_or_plain(place: Path) -> NamedFolder:
    """A folder as its name tells: without repeats, all of the name are words."""
    return _named(place) or NamedFolder(place, 1, place.name)


def _named(place: Path) -> NamedFolder | None:
    match = _NAME.fullmatch(place.name)
    return NamedFolder(place, int(match[1]), match[2].strip()) if match else None


def _has_pictures(place: Path) -> bool:
    try:
        return bool(find_images(place))
    except BadOption:
        return False


def _nothing(root: Path, option: str) -> str:
    """Why nothing can be trained, and what would do."""
    about = f'{root} has no pictures, and no folder of pictures named repeats_words, such as "10_sks dog".'
    deeper = next((place for place in folders_in(root) if any(map(_named, folders_in(place)))), None)
    if deeper:
        return f"{about} There are some in {deeper.name}: name it, --{option} {deeper}."
    others = left_out(str(root))
    return f'{about} Name its folders so: "10_{others[0]}" shows each picture ten times.' if others else about
