"""What earlier runs found out about files, so that what has not changed since is not read again. Needs no torch.

A folder with latents or encoded texts has an index, .sd_cache.json: {"version": 1, "files": {name: line}}. A line is
"bytes changed_ns word ...": its words count as long as the file has that size and that time of change. Those of a
picture are width, height and content hash (0 0 - where not known); those of a cache file name the questions to which it
was found to be the answer. It is only a help: what is missing, damaged or cannot be written is found out again.
"""

import hashlib
import json
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sd_scripts.library.data.buckets import Size
from sd_scripts.library.data.images import image_size
from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.atomic import write_bytes
from sd_scripts.library.systems import user_data_folder

INDEX = ".sd_cache.json"
VERSION = 1
CACHE_ENDING = ".npz"

UNSETTLED_NS = 2_000_000_000
"""Times of files are this coarse on some file systems: a file changed just now may change again and look the same."""

MOST_ANSWERS = 32
"""Of a file in several sizes, plain and mirrored; older ones are asked again."""


def content_hash(data: bytes) -> str:
    """What names a file's content, in 32 hexadecimal digits."""
    return hashlib.blake2b(data, digest_size=16).hexdigest()


def question(*facts: object) -> str:
    """A name, in 16 hexadecimal digits, for what is asked of a cache file: whether it was made from all these facts."""
    return question_about(facts_told(*facts[:-1]), facts[-1])


def facts_told(*facts: object) -> str:
    """Two facts or more as text. What is asked of many files is told once."""
    return repr(facts)[:-1]


def question_about(told: str, last: object) -> str:
    """`question` of facts that `facts_told` told, and one more."""
    text = f"{told}, {last!r})"
    return hashlib.blake2b(text.encode("utf-8", "backslashreplace"), digest_size=8).hexdigest()


def stamp_of(file: str | Path) -> str:
    """Size and time of change: taken before a file is read, it says which state was read. Errors: OSError."""
    facts = os.stat(file)
    return f"{facts.st_size} {facts.st_mtime_ns}"


def settled(changed_ns: int) -> bool:
    """Whether a file's time of change is long enough ago that it would show a later change."""
    return changed_ns < time.time_ns() - UNSETTLED_NS


class KnownFiles:
    """Tells of files what is known, looks at them where it is not. `trusting` False: earlier runs do not count.

    One for a run: what it finds out itself counts until `keep`, however new the file is.
    """

    def __init__(self, trusting: bool = True) -> None:
        self.trusting = trusting
        self._folders: dict[str, _Folder] = {}

    def size_of(self, picture: str | Path) -> Size:
        """(width, height) in px as a picture is seen. Errors: UnreadableImage."""
        folder, name = self._place(picture)
        try:
            stamp = folder.stamp(name)
        except OSError:
            return image_size(picture)
        width, height, content = folder.told_of(name, stamp)
        if not width:
            width, height = image_size(picture)
            folder.put_picture(name, stamp, (width, height), content)
        return width, height

    def hash_of(self, picture: Path) -> str:
        """The hash of a picture's content. Errors: OSError."""
        folder, name = self._place(picture)
        width, height, content = folder.of_picture(name)
        if not content:
            content = content_hash(picture.read_bytes())
            self.put_picture(picture, folder.stamp(name), (width, height), content)
        return content

    def known_hash(self, picture: Path) -> str:
        """The hash of a picture's content where it is known, else "". Errors: OSError."""
        folder, name = self._place(picture)
        return folder.of_picture(name)[2]

    def known_content(self, picture: Path) -> tuple[int, str]:
        """A picture's size in bytes, and the hash of its content where it is known, else "". Errors: OSError."""
        folder, name = self._place(picture)
        size_bytes, _, _ = folder.stamp(name).partition(" ")
        return int(size_bytes), self.known_hash(picture)

    def is_there(self, file: Path) -> bool:
        """Whether there is a file, or was at the first look of this run."""
        folder, name = self._place(file)
        try:
            return bool(folder.stamp(name))
        except OSError:
            return False

    def put_picture(self, picture: Path, stamp: str, size_px: Size, content: str) -> None:
        """Keeps what was found of a picture in the state of `stamp`."""
        folder, name = self._place(picture)
        folder.put_picture(name, stamp, size_px, content)

    def answers(self, file: str | Path, asked: str) -> bool:
        """Whether a cache file is known to be the answer to a question."""
        folder, name = self._place(file)
        try:
            words = folder.words(name, folder.stamp(name))
        except OSError:
            return False
        return asked in words

    def note(self, file: str | Path, stamp: str, asked: str) -> None:
        """Keeps that a cache file, in the state of `stamp`, is the answer to a question."""
        folder, name = self._place(file)
        words = [word for word in folder.words(name, stamp) if word != asked]
        folder.put(name, stamp, [*words, asked][-MOST_ANSWERS:])

    def note_written(self, file: Path, asked: str) -> None:
        """The same of a file that this run has just written: what it found in it before is in it still."""
        folder, name = self._place(file)
        stamp = stamp_of(file)
        words = [word for word in folder.found_now(name) if word != asked]
        # Nobody else writes it within the same moment, so its time need not be settled.
        folder.put(name, stamp, [*words, asked][-MOST_ANSWERS:], lasting=True)

    def keep(self) -> None:
        """Writes what is new into the indexes, and forgets everything: it may be much."""
        for folder in self._folders.values():
            folder.keep()
        self._folders.clear()

    def _place(self, file: str | Path) -> "tuple[_Folder, str]":
        place, name = split_path(os.fspath(file))
        folder = self._folders.get(place)
        if folder is None:
            folder = self._folders[place] = _Folder(Path(place), _read(Path(place)) if self.trusting else {})
        return folder, name


def split_path(file: str) -> tuple[str, str]:
    """As os.path.split, which takes long for so many files."""
    place, _, name = file.rpartition(os.sep)
    # The top of a drive.
    return (place, name) if len(place) > 2 else os.path.split(file)


@dataclass
class _Folder:
    """What is known of a folder's files: lines of earlier runs, and those of this one with what may be kept of them."""

    path: Path
    before: dict[str, str]
    now: dict[str, str] = field(default_factory=dict)
    passing: set[str] = field(default_factory=set)
    stamps: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._beginning = os.path.join(self.path, "")

    def stamp(self, name: str) -> str:
        """The state of a file at the first look of this run: one that is too old is safe. Errors: OSError."""
        if name not in self.stamps:
            self.stamps[name] = stamp_of(self._beginning + name)
        return self.stamps[name]

    def of_picture(self, name: str) -> tuple[int, int, str]:
        """Width, height and content hash, as far as they are known. Errors: OSError."""
        return self.told_of(name, self.stamp(name))

    def told_of(self, name: str, stamp: str) -> tuple[int, int, str]:
        """The same of a picture in a state."""
        words = self.words(name, stamp)
        if len(words) != 3 or not (words[0] + words[1]).isdecimal():
            return 0, 0, ""
        return int(words[0]), int(words[1]), "" if words[2] == "-" else words[2]

    def words(self, name: str, stamp: str) -> list[str]:
        line = self.now.get(name) or self.before.get(name, "")
        return line[len(stamp) + 1 :].split(" ") if line and line.startswith(stamp + " ") else []

    def found_now(self, name: str) -> list[str]:
        return self.now.get(name, "").split(" ")[2:]

    def put(self, name: str, stamp: str, words: list[str], lasting: bool = False) -> None:
        self.stamps[name] = stamp
        self.now[name] = f"{stamp} {' '.join(words)}"
        if lasting or settled(int(stamp.partition(" ")[2])):
            self.passing.discard(name)
        else:
            self.passing.add(name)

    def put_picture(self, name: str, stamp: str, size_px: Size, content: str) -> None:
        self.put(name, stamp, [str(size_px[0]), str(size_px[1]), content or "-"])

    def keep(self) -> None:
        """Adds to what stands in the index by now: other processes may write it too."""
        if len(self.passing) == len(self.now):
            return
        there = os.listdir(self.path) if self.path.is_dir() else []
        # Folders in which nothing is cached are left alone.
        if not any(name.endswith(CACHE_ENDING) for name in there):
            return
        found = {name: line for name, line in self.now.items() if name not in self.passing}
        lines, names = _read(self.path) | found, set(there)
        lines = {name: line for name, line in lines.items() if name in names}
        if any(name.endswith(CACHE_ENDING) for name in lines):
            _write(self.path, lines)


def _places(folder: Path) -> tuple[Path, Path]:
    """The index of a folder, and the one that stands for it where nothing can be written there."""
    name = content_hash(os.fsencode(folder.absolute()))
    return folder / INDEX, user_data_folder() / "sd-trainer" / "known_files" / f"{name}.json"


def _read(folder: Path) -> dict[str, str]:
    lines: dict[str, str] = {}
    for place in _places(folder):
        lines |= _lines(place)
    return lines


def _lines(place: Path) -> dict[str, str]:
    try:
        found = json.loads(place.read_bytes())
    except (OSError, ValueError, RecursionError):
        return {}
    lines = found.get("files") if isinstance(found, dict) and found.get("version") == VERSION else None
    if not isinstance(lines, dict) or not _all_text(lines.values()):
        return {}
    return lines


def _all_text(values: Iterable[object]) -> bool:
    return all(isinstance(value, str) for value in values)


def _write(folder: Path, lines: dict[str, str]) -> None:
    data = json.dumps({"version": VERSION, "files": lines}, separators=(",", ":")).encode()
    for place in _places(folder):
        try:
            write_bytes(place, data)
        except BadFile:
            continue
        return
