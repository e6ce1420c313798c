"""Small pictures: made a few at a time, kept in a folder of bounded size."""

import contextlib
import hashlib
import os
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO
from pathlib import Path

from kohya_gui.found import Stamp, stamp_of
from sd_scripts.library.data.images import UnreadableImage, small_image
from sd_scripts.library.io.leftovers import PART, beginning, tidy

SIDE_PX = 320
QUALITY = 82
MOST_BYTES = 500_000_000
AFTER_TIDYING_BYTES = 400_000_000
# Decoding leaves Python's lock: threads do, and need no memory of their own.
WORKERS = max(2, min(4, (os.cpu_count() or 2) - 1))
MOST_FAILURES = 10_000
_TOUCHED_AFTER_S = 86_400.0
_END_OF_JPEG = b"\xff\xd9"


class Thumbnails:
    """Thumbnails of pictures, by path, size and time of the last change."""

    def __init__(self, folder: Path, most_bytes: int = MOST_BYTES) -> None:
        self.folder = folder
        self._most_bytes = most_bytes
        self._pool = ThreadPoolExecutor(WORKERS, thread_name_prefix="thumbnail")
        self._lock = threading.Lock()
        self._bytes: int | None = None
        self._failures: dict[str, tuple[Stamp | None, str]] = {}

    def get(self, picture: Path) -> bytes:
        """The thumbnail of a picture as a JPEG file. Errors: UnreadableImage; OSError, where it is gone."""
        kept = self._place(picture)
        with contextlib.suppress(OSError):
            data = kept.read_bytes()
            # Without a flush to disk, a sudden end of the machine may leave a name without its content.
            if data.endswith(_END_OF_JPEG):
                self._touch(kept)
                return data
        stamp = stamp_of(str(picture))
        try:
            data = self._pool.submit(_made, picture).result()
        except UnreadableImage as error:
            if len(self._failures) < MOST_FAILURES:
                self._failures[str(picture)] = (stamp, str(error))
            raise
        self._keep(kept, data)
        return data

    def failure(self, place: str, stamp: Stamp | None) -> str:
        """Why a picture could not be decoded when it was last tried; "" where it could, or was not tried like this."""
        failed = self._failures.get(place)
        return failed[1] if failed and failed[0] == stamp else ""

    def _place(self, picture: Path) -> Path:
        facts = picture.stat()
        key = f"{picture}\0{facts.st_size}\0{facts.st_mtime_ns}\0{SIDE_PX}".encode("utf-8", "surrogateescape")
        name = hashlib.sha256(key).hexdigest()[:40]
        return self.folder / name[:2] / f"{name}.jpg"

    def _touch(self, kept: Path) -> None:
        """What is looked at stays longest; once a day is often enough to note that."""
        now = time.time()
        if now - kept.stat().st_mtime > _TOUCHED_AFTER_S:
            os.utime(kept)

    def _keep(self, kept: Path, data: bytes) -> None:
        # Without the flush to disk of other files: what is lost is made again.
        with contextlib.suppress(OSError):
            kept.parent.mkdir(parents=True, exist_ok=True)
            tidy(kept.parent)
            handle, beside = tempfile.mkstemp(prefix=beginning("thumbnail"), suffix=PART, dir=kept.parent)
            with os.fdopen(handle, "wb") as file:
                file.write(data)
            os.replace(beside, kept)
        with self._lock:
            if self._bytes is None:
                self._bytes = sum(size for _, size, _ in self._all())
            else:
                self._bytes += len(data)
            if self._bytes > self._most_bytes:
                self._tidy()

    def _tidy(self) -> None:
        """Those not looked at for the longest time go, until there is room again."""
        kept = sorted(self._all())
        self._bytes = sum(size for _, size, _ in kept)
        room = self._most_bytes * AFTER_TIDYING_BYTES // MOST_BYTES
        for _, size, path in kept:
            if self._bytes <= room:
                break
            path.unlink(missing_ok=True)
            self._bytes -= size

    def _all(self) -> list[tuple[float, int, Path]]:
        found = []
        for path in self.folder.glob("*/*"):
            with contextlib.suppress(OSError):
                facts = path.stat()
                found.append((facts.st_mtime, facts.st_size, path))
        return found


def _made(picture: Path) -> bytes:
    file = BytesIO()
    small_image(picture, SIDE_PX).save(file, "JPEG", quality=QUALITY)
    return file.getvalue()
