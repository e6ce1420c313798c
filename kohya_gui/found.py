"""What lies at a path, at once and without torch: models, metadata, room. Of pictures tells pictures.py."""

import functools
import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from kohya_gui import words
from kohya_gui.listed import Listed, listed
from sd_scripts.library.errors import UserError
from sd_scripts.library.io.headers import ModelFacts, model_facts

T = TypeVar("T")

Stamp = tuple[int, int]
"""Time of the last change (ns) and size (bytes) of a file."""

# Times of files are this coarse on some file systems: what changed just now is looked at again.
SETTLED_AFTER_NS = 2_000_000_000

MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def by_time(look: Callable[[Path], T], kept_places: int = 64) -> Callable[[Path], T]:
    """Keeps what was found at a path for as long as its time and size stay the same."""

    @functools.lru_cache(maxsize=kept_places)
    def kept(path: Path, changed_ns: int, size_bytes: int) -> T:
        return look(path)

    @functools.wraps(look)
    def looked(path: Path) -> T:
        facts = path.stat()
        settled = time.time_ns() - facts.st_mtime_ns > SETTLED_AFTER_NS
        return kept(path, facts.st_mtime_ns, facts.st_size) if settled else look(path)

    return looked


def model_at(path: Path) -> ModelFacts | None:
    """What is known of a model; None where the path is no model that can be trained or whose VAE can be read."""
    if not (path.is_dir() and (path / "model_index.json").is_file() or path.suffix.lower() in MODEL_SUFFIXES):
        return None
    try:
        facts = _model_facts(path)
    except (UserError, OSError):
        return None
    return facts if facts.kind in ("sd1", "sd2", "sdxl", "vae") else None


_model_facts = by_time(model_facts)


def _metadata(path: Path) -> Listed | str:
    """What is kept of a metadata file, or the sentence that says why it is none."""
    try:
        return listed(path)
    except UserError as error:
        return str(error)


# Of a million entries a tenth of a gigabyte is kept: of what the present form names, and of what it named before.
metadata_at = by_time(_metadata, kept_places=2)


def stamp_of(place: str | Path) -> Stamp | None:
    """The stamp of a file as it is now; None where there is none."""
    try:
        facts = os.stat(place)
    except OSError:
        return None
    return facts.st_mtime_ns, facts.st_size


def free_bytes(path: Path) -> int:
    """Free space where a path lies or would lie."""
    return shutil.disk_usage(existing(path)).free


def size_free(path: Path) -> str:
    """The free space in words."""
    return words.size(free_bytes(path))


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(p for p in [path, *path.parents] if p.exists())
