"""What text files held before they were written: a dated folder for each saving, kept for a while."""

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime
from pathlib import Path

from kohya_gui.words import refusal
from sd_scripts.library.io.atomic import replacing_folder, write_json
from sd_scripts.library.io.leftovers import discard, is_leftover

VERSION = 1
KEPT_DAYS = 90
LONGEST_NAME = 60
"""Letters; of up to 4 bytes each they stay below the 255 bytes that a file name may have."""
_ABOUT, _FILES = "backup.json", "files.json"


@dataclass(frozen=True)
class Backup:
    """One saving: when (Unix seconds), how many files, and the folders that they lie in."""

    id: str
    time: float
    files: int
    folders: list[str]


@dataclass
class Writing:
    """A backup while it is made. `files`: [path of a text file, name of its copy], without a name if it was new."""

    folder: Path
    files: list[list[str]] = field(default_factory=list)

    def keep(self, place: str, held: bytes | None) -> None:
        """Keeps what a file held, byte for byte."""
        # The end of a name is enough, so that the number fits before the longest ones too.
        name = "" if held is None else f"{len(self.files):06}_{os.path.basename(place)[-LONGEST_NAME:]}"
        if held is not None:
            (self.folder / name).write_bytes(held)
        self.files.append([place, name])


class Backups:
    """The backups, in one folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()

    @contextmanager
    def making(self) -> Iterator[Writing]:
        """A backup that is there, whole, when the block ends; none of an empty one. Errors: BadFile."""
        with self._lock:
            now = time.time()
            id = _free_name(self.folder, datetime.fromtimestamp(now).strftime("%Y-%m-%d_%H-%M-%S"))
            with replacing_folder(self.folder / id) as beside:
                writing = Writing(beside)
                yield writing
                folders = sorted({os.path.dirname(place) for place, _ in writing.files})
                about = Backup(id, now, len(writing.files), folders)
                write_json(beside / _FILES, writing.files)
                write_json(beside / _ABOUT, {"version": VERSION, **asdict(about)})
            if not writing.files:
                discard(self.folder / id)
            self._forget_old(now)

    def all(self) -> list[Backup]:
        """The backups, the latest first; what is no backup is left out."""
        found = []
        for path in self.folder.glob(f"*/{_ABOUT}"):
            if is_leftover(path.parent.name):
                continue
            try:
                about = json.loads(path.read_text(encoding="utf-8"))
                found.append(Backup(path.parent.name, about["time"], about["files"], about["folders"]))
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return sorted(found, key=lambda backup: backup.time, reverse=True)

    def files(self, id: str) -> dict[str, Path | None]:
        """{text file: its copy, or None where there was none}. Errors: BadOption."""
        if id not in {backup.id for backup in self.all()}:
            raise refusal("backup", "dataset.no_backup")
        try:
            listed = json.loads((self.folder / id / _FILES).read_text(encoding="utf-8"))
            return {place: self.folder / id / name if name else None for place, name in listed}
        except (OSError, ValueError, TypeError) as error:
            raise refusal("backup", "dataset.damaged_backup", folder=self.folder / id) from error

    def _forget_old(self, now: float) -> None:
        for backup in self.all():
            if now - backup.time > KEPT_DAYS * 86_400:
                with suppress(OSError):
                    discard(self.folder / backup.id)


def _free_name(folder: Path, name: str) -> str:
    number, free = 1, name
    while (folder / free).exists():
        number += 1
        free = f"{name}_{number}"
    return free
