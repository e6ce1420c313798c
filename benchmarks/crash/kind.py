"""What every kind of work that is killed can be asked, and how files are looked at afterwards."""

import json
import zipfile
from pathlib import Path
from typing import Protocol

from benchmarks.crash.killing import Work
from sd_scripts.library.errors import BadFile
from sd_scripts.library.events import LineReader, from_line
from sd_scripts.library.io.headers import safetensors_header


class Kind(Protocol):
    """A kind of work, each in small worlds (folders) of its own."""

    name: str

    def begin(self, world: Path) -> None:
        """Fills a new world."""

    def work(self, world: Path) -> Work:
        """The work as it is started, for the first time and again after it was killed."""

    def learn(self, world: Path) -> None:
        """Takes what a run came to that nobody disturbed as what is wanted."""

    def damage(self, world: Path) -> list[str]:
        """What is damaged in a world whose work was killed just now: each in words."""

    def losses(self, world: Path) -> list[str]:
        """What is lost, or did not go on, after the work was started again and came to its end."""


def damaged_files(world: Path) -> list[str]:
    """The files that have their final names and do not read whole."""
    files = [path for path in world.rglob("*") if path.is_file() and not _on_its_way(path, world)]
    return [f"{path.relative_to(world)}: {why}" for path in files if (why := _trouble(path))]


def _on_its_way(path: Path, world: Path) -> bool:
    return any(part.startswith(".") and ".part" in part for part in path.relative_to(world).parts)


def _trouble(path: Path) -> str:
    try:
        if path.suffix == ".json":
            json.loads(path.read_bytes())
        elif path.suffix == ".jsonl":
            return _torn_lines(path)
        elif path.suffix == ".safetensors":
            safetensors_header(path)
        elif path.suffix in (".npz", ".pt", ".ckpt", ".bin"):
            with zipfile.ZipFile(path) as archive:
                broken = archive.testzip()
            return f"{broken} is damaged" if broken else ""
    except (BadFile, OSError, ValueError, zipfile.BadZipFile) as error:
        return str(error)
    return ""


def _torn_lines(path: Path) -> str:
    """More lines than were cut short by the kills: each start begins a line of its own."""
    lines = LineReader(path).new_lines()
    torn = sum(from_line(line) is None for line in lines)
    starts = sum('"event":"start"' in line for line in lines)
    return f"{torn} torn lines after {starts} starts" if torn >= max(1, starts) else ""
