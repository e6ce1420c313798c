"""The pictures that a stage reads, and what lies beside them: of a folder, of those below it, of metadata's entries.

A folder is listed once, and again only after it was changed.
"""

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import Any

from kohya_gui.found import by_time
from kohya_gui.words import say
from sd_scripts.library.data.dreambooth import named_in
from sd_scripts.library.data.images import IMAGE_SUFFIXES
from sd_scripts.library.data.latents_files import NEWER_NAME

# Pictures are looked for in this many folders below: a home folder may hold a million.
MOST_FOLDERS = 1000


@dataclass(frozen=True)
class FolderFacts:
    """Pictures in a folder. `texts`: {ending: how many pictures have a text of that ending beside them}.

    `below`: those of the folders below, counted only where it has none itself.
    """

    images: int
    texts: Counter[str] = field(default_factory=Counter)
    below: int = 0

    def described(self, extension: str | None = None) -> str:
        """The folder in words; with an ending, how many pictures have such a text."""
        there = self.texts[extension] if extension else 0
        if not there:
            return say("found.images", n=self.images)
        return say("found.images_with_texts", n=self.images, texts=there, without=self.images - there, ext=extension)


def facts_of(folder: Path) -> FolderFacts:
    """What a folder holds. Errors: OSError."""
    facts = _own_facts(folder)
    return facts if facts.images else replace(facts, below=len(files_below(folder)))


def is_parent(folder: Path) -> bool:
    """Whether a folder has no pictures itself, but folders of them that are named as DreamBooth has them."""
    return folder.is_dir() and facts_of(folder).below > 0 and bool(named_in(folder))


def read_in(folder: Path) -> list[FolderFacts]:
    """What a project's folder holds: of a folder of named folders, what each of these holds. Errors: OSError."""
    return [facts_of(one.path) for one in named_in(folder)] if is_parent(folder) else [facts_of(folder)]


@by_time
def _own_facts(folder: Path) -> FolderFacts:
    stems: dict[str, set[str]] = {}
    for name in _names_in(folder):
        stem, dot, suffix = name.rpartition(".")
        stems.setdefault(dot + suffix.lower(), set()).add(stem)
    images = [stem for suffix in IMAGE_SUFFIXES for stem in stems.get(suffix, ())]
    known = set(images)
    texts = Counter({suffix: len(known & there) for suffix, there in stems.items() if suffix not in IMAGE_SUFFIXES})
    return FolderFacts(len(images), +texts)


@by_time
def _names_in(folder: Path) -> frozenset[str]:
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if not entry.name.startswith("."))


@by_time
def files_in(folder: Path) -> tuple[Path, ...]:
    """The pictures of a folder itself, sorted. Errors: OSError."""
    return tuple(folder / name for name in sorted(filter(_is_picture, _names_in(folder))))


def texted_in(folder: Path, extension: str) -> list[Path]:
    """The pictures of a folder that have a text of this ending beside them, sorted. Errors: OSError."""
    names = _names_in(folder)
    return [file for file in files_in(folder) if file.stem + extension in names]


def textless_in(folder: Path, extension: str) -> list[Path]:
    """The pictures of a folder that have no text of this ending beside them, sorted. Errors: OSError."""
    names = _names_in(folder)
    return [file for file in files_in(folder) if file.stem + extension not in names]


def files_below(folder: Path) -> list[Path]:
    """The pictures of the folders below, without its own and hidden ones; of a thousand folders at most."""
    walked = islice(_walk(folder), 1, MOST_FOLDERS)
    return [Path(place) / name for place, names in walked for name in sorted(names) if _is_picture(name)]


def _walk(folder: Path) -> Iterator[tuple[str, list[str]]]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield place, names


def of_entries(keys: Iterable[str], folder: Path | None) -> dict[str, Path]:
    """{key: its picture}, of those that are there: keys are paths or names in the folder, perhaps without an ending."""
    listed: dict[str, dict[str, Path]] = {}
    there: dict[str, Path] = {}
    home = str(folder or "")
    for key in keys:
        place, name = place_of(key, home)
        if place not in listed:
            listed[place] = _named_in(Path(place))
        if name in listed[place]:
            there[key] = listed[place][name]
    return there


def place_of(key: str, folder: str) -> tuple[str, str]:
    """The folder that the picture of a key lies in, and its name there. A full path stands alone."""
    if os.sep in key or "/" in key or ":" in key:
        return os.path.split(os.path.join(folder, key))
    # There may be a million: most are bare names, for which the above would take long.
    return folder, key


def _named_in(folder: Path) -> dict[str, Path]:
    try:
        return _by_name(folder)
    except OSError:
        return {}


@by_time
def _by_name(folder: Path) -> dict[str, Path]:
    files = files_in(folder)
    names = [os.path.basename(file) for file in files]
    by_stem = {name.rpartition(".")[0]: file for name, file in zip(reversed(names), reversed(files), strict=True)}
    return by_stem | dict(zip(names, files, strict=True))


def _is_picture(name: str) -> bool:
    return name.lower().endswith(IMAGE_SUFFIXES) and not name.startswith(".")


@by_time
def latents_in(folder: Path) -> frozenset[str]:
    """The names, without ending, of the pictures of a folder that have prepared latents, of whatever size.

    With "_flip" behind it, a name stands for mirrored latents.
    """
    names = [name for name in _names_in(folder) if name.endswith(".npz")]
    newer = [match["stem"] for name in names if (match := NEWER_NAME.fullmatch(name))]
    # A file of the newer layout may hold both ways; only reading it would tell.
    return frozenset(name.removesuffix(".npz") for name in names) | {*newer, *(f"{stem}_flip" for stem in newer)}


def newest(folder: Path, suffixes: tuple[str, ...]) -> float:
    """When the newest file of these endings in a folder was written (Unix seconds); 0 where there is none."""
    with os.scandir(folder) as entries:
        times = [e.stat().st_mtime for e in entries if e.name.lower().endswith(suffixes) and e.is_file()]
    return max(times, default=0.0)


def fingerprint(folder: Path) -> dict[str, Any]:
    """What tells a folder of pictures from its later self: count, total bytes, newest change (Unix seconds)."""
    if not folder.is_dir():
        return {"folder": str(folder), "images": 0, "bytes": 0, "newest": 0.0}
    with os.scandir(folder) as entries:
        facts = [e.stat() for e in entries if e.name.lower().endswith(IMAGE_SUFFIXES) and e.is_file()]
    times = [fact.st_mtime for fact in facts]
    total = sum(fact.st_size for fact in facts)
    return {"folder": str(folder), "images": len(facts), "bytes": total, "newest": max(times, default=0.0)}
