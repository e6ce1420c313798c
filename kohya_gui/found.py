"""What lies at a path, at once and without torch: pictures and their texts, models, metadata."""

import functools
import itertools
import math
import os
import shutil
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from kohya_gui import words
from kohya_gui.words import say
from sd_scripts.library.data.buckets import Size
from sd_scripts.library.data.images import IMAGE_SUFFIXES, UnreadableImage, image_size
from sd_scripts.library.data.latents_files import NEWER_NAME
from sd_scripts.library.errors import UserError
from sd_scripts.library.io.headers import ModelFacts, model_facts, pickled_header, safetensors_header
from sd_scripts.library.io.metadata import Metadata, read_metadata

T = TypeVar("T")

# Times of files are this coarse on some file systems: what changed just now is looked at again.
SETTLED_AFTER_NS = 2_000_000_000

# An answer does not wait longer for the sizes of pictures.
LONGEST_READING_S = 1.0

# Where a folder holds none itself, pictures are counted in this many folders below: a home folder may hold a million.
MOST_FOLDERS = 1000

# {part, which is its folder in diffusers' layout: how the names of its tensors begin in one file}
MODEL_PARTS = {"unet": "model.diffusion_model.", "text_encoder": "cond_stage_model.", "vae": "first_stage_model."}

MODEL_SUFFIXES = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def by_time(look: Callable[[Path], T]) -> Callable[[Path], T]:
    """Keeps what was found at a path for as long as its time and size stay the same."""

    @functools.lru_cache(maxsize=64)
    def kept(path: Path, changed_ns: int, size_bytes: int) -> T:
        return look(path)

    @functools.wraps(look)
    def looked(path: Path) -> T:
        facts = path.stat()
        settled = time.time_ns() - facts.st_mtime_ns > SETTLED_AFTER_NS
        return kept(path, facts.st_mtime_ns, facts.st_size) if settled else look(path)

    return looked


@dataclass(frozen=True)
class FolderFacts:
    """Pictures in a folder. `texts`: {ending: how many pictures have a text of that ending beside them}."""

    images: int
    below: int
    texts: Counter[str] = field(default_factory=Counter)

    def described(self, extension: str | None = None) -> str:
        """The folder in words; with an ending, how many pictures have such a text."""
        there = self.texts[extension] if extension else 0
        if not there:
            return say("found.images", n=self.images)
        return say("found.images_with_texts", n=self.images, texts=there, without=self.images - there, ext=extension)


def pictures_in(folder: Path) -> FolderFacts:
    """The pictures of a folder; those of folders below are counted only where it has none itself."""
    facts = _own_pictures(folder)
    return facts if facts.images else replace(facts, below=len(pictures_below(folder)))


@by_time
def _own_pictures(folder: Path) -> FolderFacts:
    stems: dict[str, set[str]] = {}
    with os.scandir(folder) as entries:
        for entry in entries:
            stem, suffix = os.path.splitext(entry.name)
            if not entry.name.startswith("."):
                stems.setdefault(suffix.lower(), set()).add(stem)
    images = [stem for suffix in IMAGE_SUFFIXES for stem in stems.get(suffix, ())]
    known = set(images)
    texts = Counter({suffix: len(known & found) for suffix, found in stems.items() if suffix not in IMAGE_SUFFIXES})
    return FolderFacts(len(images), 0, +texts)


@by_time
def _names_in(folder: Path) -> frozenset[str]:
    with os.scandir(folder) as entries:
        return frozenset(entry.name for entry in entries if not entry.name.startswith("."))


def texted_in(folder: Path, extension: str | None) -> list[str]:
    """The names of a folder's pictures that have a text of this ending beside them; with None, of all."""
    names = _names_in(folder)
    pictures = [name for name in names if name.lower().endswith(IMAGE_SUFFIXES)]
    return sorted(name for name in pictures if extension is None or os.path.splitext(name)[0] + extension in names)


class SizeReader:
    """Sizes of pictures, without decoding them. New ones are read for a moment only; the next reader goes on.

    `unread`: how many were left.
    """

    def __init__(self) -> None:
        self.unread = 0
        self._until_s = time.monotonic() + LONGEST_READING_S

    def of(self, path: Path) -> Size | None:
        """(width, height) in px; None where the picture cannot be read, or was not read yet."""
        try:
            key = (path, path.stat().st_mtime_ns)
        except OSError:
            return None
        if key not in _SIZES and time.monotonic() > self._until_s:
            self.unread += 1
            return None
        if key not in _SIZES:
            _SIZES[key] = _size_of(path)
        return _SIZES[key]


_SIZES: dict[tuple[Path, int], Size | None] = {}


def _size_of(path: Path) -> Size | None:
    try:
        return image_size(path)
    except UnreadableImage:
        return None


@by_time
def parameters_at(path: Path) -> Counter[str]:
    """How many parameters each part of a model has: unet, text_encoder, vae; nothing where the file does not tell."""
    try:
        if path.is_dir():
            return Counter({part: sum(map(_elements, _weights_of(path / part))) for part in MODEL_PARTS})
        tensors = safetensors_header(path)[0] if path.suffix.lower() == ".safetensors" else pickled_header(path)
    except UserError:
        return Counter()
    parts: Counter[str] = Counter()
    for name, fact in tensors.items():
        if part := next((part for part, begin in MODEL_PARTS.items() if name.startswith(begin)), None):
            parts[part] += math.prod(fact.shape)
    return parts


def _weights_of(folder: Path) -> list[Path]:
    """The files of one set of weights: there may be a second one, in fp16."""
    files = sorted(folder.glob("*.safetensors"))
    parts = [file for file in files if "-of-" in file.name and ".fp16" not in file.name]
    return parts or files[:1]


def _elements(file: Path) -> int:
    return sum(math.prod(fact.shape) for fact in safetensors_header(file)[0].values())


def pictures_below(folder: Path) -> list[str]:
    """The names, without folders, of the pictures of a folder and of those below."""
    walked = (names for _, _, names in itertools.islice(os.walk(folder), MOST_FOLDERS))
    return [name for names in walked for name in names if name.lower().endswith(IMAGE_SUFFIXES) and name[0] != "."]


@by_time
def latents_in(folder: Path) -> frozenset[str]:
    """The names, without ending, of the pictures of a folder that have prepared latents, of whatever size.

    With "_flip" behind it, a name stands for mirrored latents.
    """
    with os.scandir(folder) as entries:
        names = [entry.name for entry in entries if entry.name.endswith(".npz")]
    newer = [match["stem"] for name in names if (match := NEWER_NAME.fullmatch(name))]
    # A file of the newer layout may hold both ways; only reading it would tell.
    return frozenset(name.removesuffix(".npz") for name in names) | {*newer, *(f"{stem}_flip" for stem in newer)}


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


@by_time
def metadata_at(path: Path) -> Metadata | str:
    """The entries of a metadata file, or the sentence that says why it is none."""
    try:
        return read_metadata(path)
    except UserError as error:
        return str(error)


def free_bytes(path: Path) -> int:
    """Free space where a path lies or would lie."""
    return shutil.disk_usage(existing(path)).free


def size_free(path: Path) -> str:
    """The free space in words."""
    return words.size(free_bytes(path))


def existing(path: Path) -> Path:
    """The path itself, or the nearest folder above it that exists."""
    return next(p for p in [path, *path.parents] if p.exists())


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
