"""Copies pictures with their texts into new folders. Originals stay, and so does what is there. Needs no torch."""

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from sd_scripts.library import events
from sd_scripts.library.data.images import IMAGE_SUFFIXES, UnreadableImage, check_readable
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.io.atomic import check_writable, replacing
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted

Tables = dict[str, list[dict[str, Any]]]
# Latents of a picture fit nothing but that very file.
_LEFT_OUT = (".npz",)


def check_target(target: Path, option: str, add_to_existing: bool, sources: list[Path]) -> None:
    """The folder to write to is new or empty, unless it may be added to, none of the sources, and takes files.

    Errors: BadOption, BadFile.
    """
    if target.exists() and not target.is_dir():
        raise BadOption(option, f"{option} {target}: there is a file of that name. Name a folder.")
    if any(source.exists() and target.exists() and target.samefile(source) for source in sources):
        raise BadOption(option, f"{option} {target} is the folder of the pictures themselves. Name another one.")
    if not add_to_existing and target.is_dir() and any(target.iterdir()):
        sentence = "the folder is not empty. Name a new one, or add --add_to_existing to write beside what is there."
        raise BadOption(option, f"{option} {target}: {sentence}")
    check_writable(target)


def check_not_below(target: Path, option: str, source: Path) -> None:
    """What is written is not found again where pictures of folders below are taken. Errors: BadOption."""
    if source.resolve() in target.resolve().parents:
        raise BadOption(option, f"{option} {target} lies in {source}, whose folders are all read. Name another one.")


class Companions:
    """The other files of pictures' names: captions, tags and the like. Each folder is read once."""

    def __init__(self) -> None:
        self._folders: dict[Path, dict[str, list[Path]]] = {}

    def of(self, image: Path) -> list[Path]:
        """Those of one picture."""
        if image.parent not in self._folders:
            self._folders[image.parent] = _by_stem(image.parent)
        return self._folders[image.parent].get(image.stem, [])


def _by_stem(folder: Path) -> dict[str, list[Path]]:
    """{stem: files of it that are no pictures}."""
    found: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        other = path.suffix.lower() not in (*IMAGE_SUFFIXES, *_LEFT_OUT)
        if other and not path.name.startswith(".") and path.is_file():
            found.setdefault(path.stem, []).append(path)
    return found


def copy_file(source: Path, target: Path) -> None:
    """Copies a picture or a text, whole or not at all.

    Errors: OSError, where it cannot be read; UnreadableImage, where it is too large or out of reach; BadFile, where it
    cannot be written.
    """
    check_readable(source)
    with open(source, "rb") as old, replacing(target) as beside, open(beside, "wb") as new:
        shutil.copyfileobj(old, new, 2**20)


@dataclass
class Copies:
    """Puts pictures into folders, keeps account of it, and lets no two pictures fall on one name."""

    report: Report
    made: int = 0
    kept: int = 0
    _folders: dict[Path, Path] = field(default_factory=dict)
    _targets: dict[Path, Path] = field(default_factory=dict)
    _companions: Companions = field(default_factory=Companions)

    def put(self, image: Path, folder: Path, write: Callable[[Path, Path], None] = copy_file, ending: str = "") -> None:
        """A picture and the files of its name; `write` writes the picture, `ending` is its new one. Errors: BadFile."""
        target = folder / (image.stem + ending if ending else image.name)
        if other := self._other(image, target):
            self.report.failed_item(image, f"{folder.name} has a picture of this name already: {other}")
            return
        try:
            # The texts first: with the picture there, everything of it is.
            for path in self._companions.of(image):
                self._write(path, folder / path.name, copy_file)
            new = self._write(image, target, write)
        except UnreadableImage as error:
            self.report.failed_item(image, str(error))
            return
        except OSError as error:
            self.report.failed_item(image, f"it cannot be read ({error.strerror or error})")
            return
        self.made += new
        self.kept += not new

    def _other(self, image: Path, target: Path) -> Path | None:
        """Another picture that was put there, or whose texts have the same names and lie elsewhere."""
        first = self._folders.setdefault(target.with_suffix(""), image)
        if first.parent != image.parent:
            return first
        owner = self._targets.setdefault(target, image)
        return owner if owner != image else None

    def _write(self, source: Path, target: Path, write: Callable[[Path, Path], None]) -> bool:
        """Whether the file is new; one that is there already stays."""
        if target.exists():
            return False
        patiently(self.report, target.parent, partial(write, source, target))
        return True

    def end(self, total: int, target: Path, tables: Tables | None = None) -> None:
        """Says how it went. Errors: NothingUsable, when nothing could be copied."""
        left = total - self.made - self.kept - self.report.failed
        kept = f", {self.kept:,} were there already" if self.kept else ""
        text = f"{counted(self.made, 'picture')} copied to {target}{kept}."
        if left:
            text = f"Stopped as asked: {text} {left:,} not reached."
        self.report.summary(text, tables, copied=self.made, kept=self.kept)
        if left:
            self.report.emit(events.Stopped(sentence=text))
        elif not self.made and not self.kept:
            raise NothingUsable(f"None of the {total:,} pictures could be copied; the reasons stand above.")
