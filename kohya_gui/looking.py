"""A look at pictures: how large each is, and whether it can be read. Once for each, in a thread of its own.

Ten thousand take some seconds, so whoever asks is told how many are still to come, and asks again.
"""

import os
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from kohya_gui.found import Stamp, stamp_of
from sd_scripts.library.data.buckets import Size
from sd_scripts.library.data.images import UnreadableImage, image_size, open_image

# A first answer waits this long: a few hundred pictures are told at once.
WAIT_S = 0.2
# Figures are worth a longer wait.
LONGEST_MEASURING_S = 1.0
# Beyond these the oldest are forgotten, and looked at again.
MOST_KEPT = 300_000
# How much of a file's end is searched for its last mark; some programs append a few bytes of their own.
_TAIL_BYTES = 4096
_LAST_MARKS = {".png": b"IEND", ".jpg": b"\xff\xd9", ".jpeg": b"\xff\xd9"}


@dataclass(frozen=True)
class Look:
    """What was seen of a picture: its size as it is shown, or why it cannot be read."""

    size_px: Size = (0, 0)
    fault: str = ""


class Looks:
    """Looks of pictures, kept for as long as a file's time and size stay the same."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Stamp, Look]] = {}
        self._wanted: dict[str, Stamp] = {}
        self._news = threading.Condition()
        self._works = False

    def of(self, pictures: Iterable[Path], wait_s: float = WAIT_S) -> tuple[dict[Path, Look], int]:
        """({picture: look} of those that are known, how many are not yet); missing files are left out."""
        stamps = {path: stamp for path in pictures if (stamp := stamp_of(path))}
        with self._news:
            known = self._known(stamps)
            self._wanted |= {str(path): stamp for path, stamp in stamps.items() if path not in known}
            if self._wanted and not self._works:
                self._works = True
                threading.Thread(target=self._work, daemon=True, name="looks").start()
            self._news.wait_for(lambda: not self._works, timeout=wait_s)
            if len(known) < len(stamps):
                known = self._known(stamps)
        return known, len(stamps) - len(known)

    def _known(self, stamps: dict[Path, Stamp]) -> dict[Path, Look]:
        kept = self._kept
        return {
            path: there[1] for path, stamp in stamps.items() if (there := kept.get(str(path))) and there[0] == stamp
        }

    def _work(self) -> None:
        while True:
            with self._news:
                if not self._wanted:
                    self._works = False
                    self._news.notify_all()
                    return
                path, stamp = next(iter(self._wanted.items()))
                del self._wanted[path]
            look = look_at(Path(path))
            with self._news:
                if len(self._kept) >= MOST_KEPT:
                    del self._kept[next(iter(self._kept))]
                self._kept[path] = (stamp, look)


LOOKS = Looks()
"""The looks that all checks share."""


class Sizes:
    """Sizes of pictures for one answer, which waits for a moment only; the next answer knows more.

    `unread`: how many pictures were not looked at yet.
    """

    def __init__(self) -> None:
        self.unread = 0
        self._until_s = time.monotonic() + LONGEST_MEASURING_S

    def of(self, pictures: Iterable[Path]) -> dict[Path, Size | None]:
        """{picture: (width, height) in px}, None as long as it is not known; without those that cannot be read."""
        files = list(pictures)
        looks, remaining = LOOKS.of(files, max(0.0, self._until_s - time.monotonic()))
        self.unread += remaining
        sizes = {file: look.size_px for file in files if (look := looks.get(file)) and not look.fault}
        return sizes | dict.fromkeys((file for file in files if file not in looks) if remaining else ())


def look_at(path: Path) -> Look:
    """One picture. Only one that seems cut off is decoded: that takes a hundred times as long."""
    try:
        size_px = image_size(path)
        if _seems_cut_off(path):
            open_image(path)
    except UnreadableImage as error:
        return Look(fault=str(error))
    except OSError as error:
        return Look(fault=error.strerror or str(error))
    return Look(size_px)


def _seems_cut_off(path: Path) -> bool:
    mark = _LAST_MARKS.get(path.suffix.lower())
    with path.open("rb") as file:
        size_bytes = file.seek(0, os.SEEK_END)
        file.seek(max(0, size_bytes - _TAIL_BYTES))
        tail = file.read()
        if path.suffix.lower() == ".webp":
            file.seek(4)
            # RIFF tells how much follows these first eight bytes.
            return size_bytes < 8 + int.from_bytes(file.read(4), "little")
    return mark is not None and mark not in tail
