"""What is shown in a training, picture by picture, and where two trainings differ in it. Needs no torch.

A state keeps this beside its facts: of each picture its name, its file's size and content as far as they are known, and
a word for its text and size in px. Where it lies and when it was changed do not count: folders are copied and moved.
"""

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from sd_scripts.library.data.known_files import KnownFiles
from sd_scripts.library.data.training_data import TrainImage

FILE = "pictures.json"
VERSION = 1
# So much is read and hashed in a moment. Of more pictures the content counts where an index of caches knows it, else
# the file's size alone: of 200,000 pictures nothing more can be had at each start.
MOST_READ_BYTES = 1 << 28
_DIGITS = 12
_MOST_NAMED = 3
_MOST_LISTED = 20


class Shown(NamedTuple):
    """A picture. `size_bytes` 0 and `content` "" are not known; `said` names its text and its size in px."""

    name: str
    size_bytes: int
    content: str
    said: str


class Difference(NamedTuple):
    """A picture that is not what it was; None: it was not there, or is not."""

    before: Shown | None
    now: Shown | None

    def told(self) -> str:
        """As part of a sentence."""
        if self.now is None:
            return f"{_name(self.before)} is missing"
        if self.before is None:
            return f"{self.now.name} is new"
        if _same_file(self.before, self.now):
            return f"{self.now.name} has another text or size in px"
        return f"{self.now.name} is another picture"


def shown_of(images: Sequence[TrainImage]) -> tuple[Shown, ...]:
    """What is shown, in the order of the images. Pictures that are not there, with latents only, are known by name."""
    known = KnownFiles()
    facts = [_file_facts(known, image.path) for image in images]
    readable = sum(size for size, content in facts if not content) <= MOST_READ_BYTES
    shown = []
    for image, (size_bytes, content) in zip(images, facts, strict=True):
        if readable and size_bytes and not content:
            content = _read_content(known, image.path)
        said = hashlib.blake2b(
            repr((image.text, tuple(image.bucket_px))).encode("utf-8", "surrogatepass"), digest_size=4
        )
        shown.append(Shown(image.path.name, size_bytes, content[:_DIGITS], said.hexdigest()))
    return tuple(shown)


def differences(before: Iterable[Shown], now: Iterable[Shown]) -> list[Difference]:
    """The pictures that differ. What only one of the two knows of a picture makes no difference."""
    left = defaultdict(list)
    for one in before:
        left[one.name].append(one)
    found = []
    for one in now:
        old = left[one.name].pop(0) if left[one.name] else None
        if old is None or old.said != one.said or not _same_file(old, one):
            found.append(Difference(old, one))
    return [*found, *(Difference(one, None) for rest in left.values() for one in rest)]


def named(found: Sequence[Difference]) -> str:
    """The first of them, as a part of a sentence: `cat.jpg is another picture, dog.jpg is missing`."""
    rest = len(found) - _MOST_NAMED
    return ", ".join(one.told() for one in found[:_MOST_NAMED]) + (f", and {rest:,} more" if rest > 0 else "")


def listed(found: Sequence[Difference]) -> tuple[list[str], list[str]]:
    """What was there and what is there instead, as a change of a branch; of both it says what tells them apart."""
    before, now = [one.before for one in found], [one.now for one in found]
    return _listed(zip(before, now, strict=True)), _listed(zip(now, before, strict=True))


def write_shown(folder: Path, shown: Sequence[Shown]) -> None:
    """Writes it into a state that is being made."""
    text = json.dumps({"version": VERSION, "pictures": shown}, separators=(",", ":"))
    (folder / FILE).write_text(text, encoding="utf-8", errors="surrogatepass")


def read_shown(folder: Path) -> list[Shown] | None:
    """What a state was trained on; None: an older one, or one of a later program, does not tell."""
    try:
        found = json.loads((folder / FILE).read_bytes())
        return [Shown(*one) for one in found["pictures"]] if found["version"] == VERSION else None
    except (OSError, ValueError, TypeError, LookupError):
        return None


def _file_facts(known: KnownFiles, path: Path) -> tuple[int, str]:
    """(size in bytes, content hash), as far as they are known without reading."""
    try:
        return known.known_content(path)
    except OSError:
        return 0, ""


def _read_content(known: KnownFiles, path: Path) -> str:
    try:
        return known.hash_of(path)
    except OSError:
        return ""


def _same_file(before: Shown, now: Shown) -> bool:
    if before.content and now.content:
        return before.content == now.content
    return not (before.size_bytes and now.size_bytes) or before.size_bytes == now.size_bytes


def _listed(pairs: Iterable[tuple[Shown | None, Shown | None]]) -> list[str]:
    names = [_told_apart(one, other) for one, other in pairs if one]
    rest = len(names) - _MOST_LISTED
    return names[:_MOST_LISTED] + ([f"and {rest:,} more"] if rest > 0 else [])


def _told_apart(one: Shown, other: Shown | None) -> str:
    if other is None:
        return one.name
    if _same_file(one, other):
        return f"{one.name} (text and size {one.said})"
    by_content = one.content and other.content
    return f"{one.name} ({one.content if by_content else f'{one.size_bytes:,} bytes'})"


def _name(picture: Shown | None) -> str:
    return picture.name if picture else ""
