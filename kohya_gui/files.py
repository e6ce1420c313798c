"""Files as the page may see them: only inside the roots, symlinks followed before that is judged."""

import os
import re
import tempfile
from pathlib import Path, PureWindowsPath
from typing import Any
from urllib.parse import quote

from kohya_gui import found, pictures
from kohya_gui.words import refusal
from sd_scripts.library import systems
from sd_scripts.library.data.images import IMAGE_SUFFIXES
from sd_scripts.library.io.reach import is_hidden

MAX_ENTRIES = 2000
# Of a path that is none, this much is shown.
SHOWN_LETTERS = 60
LONGEST_PATH = 4096

# {kind of path: endings of the files that it may be}; nothing: folders only.
_SHOWN: dict[str, tuple[str, ...]] = {
    "pictures": IMAGE_SUFFIXES,
    "folder": (),
    "state": (),
    "project": (),
    "model": found.MODEL_SUFFIXES,
    "vae": found.MODEL_SUFFIXES,
    "json_in": (".json", ".jsonl"),
    "json_out": (".json", ".jsonl"),
    "file": ("",),
    "file_out": ("",),
    "model_out": found.MODEL_SUFFIXES,
    "picture": IMAGE_SUFFIXES,
}


def bare(typed: str) -> str:
    """A path without the spaces and the quotation marks that came along when it was copied."""
    text = typed.strip()
    quoted = len(text) > 1 and text[0] == text[-1] and text[0] in "\"'"
    return text[1:-1].strip() if quoted else text


def is_usable(typed: str) -> bool:
    """Whether a text can be a path here: its parts are not too long, and a user that it names with ~ is known."""
    if len(typed) > LONGEST_PATH or (systems.WINDOWS and means_more_on_windows(typed)):
        return False
    try:
        Path(typed).expanduser().stat()
    except (FileNotFoundError, NotADirectoryError, PermissionError):
        return True
    except (OSError, RuntimeError, ValueError):
        return False
    return True


def means_more_on_windows(typed: str) -> bool:
    """Whether Windows takes a path for a device, a stream within a file, or another machine, which it then asks."""
    path = PureWindowsPath(typed)
    parts = path.parts[1:] if path.anchor else path.parts
    odd = any(":" in part or part != part.rstrip(". ") and part not in (".", "..") for part in parts)
    return odd or path.drive.startswith("\\\\") or any(map(_is_device, parts))


def _is_device(part: str) -> bool:
    return re.fullmatch(r"(con|prn|aux|nul|conin\$|conout\$|(com|lpt)[0-9¹²³]) *(\..*)?", part, re.I) is not None


class Roots:
    """The folders that the page may reach, without what is hidden in them.

    `own`: the folder of the program's records, of which only `shared` is reached: nobody writes runs by way of files.
    """

    def __init__(self, folders: list[Path], own: Path | None = None, shared: Path | None = None) -> None:
        self.folders = [folder.expanduser().resolve() for folder in folders]
        self._own = own.resolve() if own else None
        self._shared = shared.resolve() if shared else None

    @property
    def readable(self) -> list[Path]:
        """The folders in which runs find pictures and texts."""
        return [*self.folders, *([self._shared] if self._shared else [])]

    def inside(self, typed: str, field: str, base: Path | None = None) -> Path:
        """The path with all its links resolved. Errors: BadOption, naming `field`, when it is not to be reached."""
        if not is_usable(typed):
            raise refusal(field, "path.unusable", path=typed.replace("\0", "")[:SHOWN_LETTERS])
        path = ((base or Path.home()) / Path(typed).expanduser()).resolve()
        if self._shared and path.is_relative_to(self._shared):
            return path
        below = [path.relative_to(root).parts for root in self.folders if path.is_relative_to(root)]
        if not below or (self._own and path.is_relative_to(self._own)):
            raise refusal(field, "path.outside", path=path, roots=", ".join(map(str, self.folders)))
        if all(map(is_hidden, below)):
            raise refusal(field, "path.hidden", path=path)
        return path

    def image(self, typed: str) -> Path:
        """The path of a picture that may be served. Errors: BadOption."""
        path = self.inside(typed, "path")
        if path.suffix.lower() not in IMAGE_SUFFIXES or not path.is_file():
            raise refusal("path", "path.no_image", path=path)
        return path

    def browse(self, typed: str, kind: str) -> dict[str, Any]:
        """What lies in a folder (of a file: in its folder), for choosing a path of a kind. Errors: BadOption."""
        if kind not in _SHOWN:
            raise refusal("kind", "path.unknown_kind", kind=kind)
        start = Path.home() if self._has_home() else self.folders[0]
        path = found.existing(self.inside(bare(typed) or str(start), "path"))
        folder = self.inside(str(path if path.is_dir() else path.parent), "path")
        try:
            folders, files = _entries(folder, _SHOWN[kind])
        except OSError as error:
            raise refusal("path", "path.unreadable", path=folder, why=error.strerror or error) from error
        above = folder.parent
        has_parent = above != folder and any(above.is_relative_to(root) for root in self.folders)
        return {
            "path": str(folder),
            "parent": str(above) if has_parent else None,
            "folders": folders[:MAX_ENTRIES],
            "files": files[:MAX_ENTRIES],
            "found": self._described(folder, kind),
            "roots": [str(root) for root in self.folders],
        }

    def _has_home(self) -> bool:
        return any(Path.home().resolve().is_relative_to(root) for root in self.folders)

    def _described(self, folder: Path, kind: str) -> str:
        if kind == "pictures":
            return pictures.facts_of(folder).described()
        model = found.model_at(folder) if kind in ("model", "vae") else None
        return model.describe() if model else ""


def _entries(folder: Path, endings: tuple[str, ...]) -> tuple[list[str], list[dict[str, Any]]]:
    folders: list[str] = []
    files: list[dict[str, Any]] = []
    with os.scandir(folder) as entries:
        for entry in sorted(entries, key=lambda e: e.name.casefold()):
            if entry.name.startswith("."):
                continue
            if entry.is_dir():
                folders.append(entry.name)
            elif entry.name.lower().endswith(endings) and entry.is_file():
                files.append({"name": entry.name, "size_bytes": entry.stat().st_size})
    return folders, files


def image_url(path: str) -> str:
    """Where the page finds a picture; relative, so that it also holds behind a proxy's path."""
    return f"file?path={quote(path)}"


def can_write(folder: Path) -> bool:
    """Whether files can be made in a folder, or the folder itself where it does not exist yet."""
    try:
        with tempfile.TemporaryFile(dir=found.existing(folder)):
            return True
    except OSError:
        return False
