"""Writes edited texts to their files: what others wrote meanwhile is never overwritten, what was there is kept."""

import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from kohya_gui.dataset.album import Album
from kohya_gui.dataset.backups import Backups
from kohya_gui.dataset.drafts import Draft
from kohya_gui.dataset.texts import NO_FILE, TextFile, read_text_file
from kohya_gui.found import Stamp, stamp_of
from kohya_gui.words import from_program, say_reason
from sd_scripts.library.data.captions import read_caption
from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.atomic import write_text

MOST_TOLD = 50


@dataclass
class Saved:
    """How a saving went. `failed`: [file name, why]."""

    saved: int = 0
    conflicts: int = 0
    failed: list[list[str]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """For the page."""
        failed = {"failed": self.failed[:MOST_TOLD], "failures": len(self.failed)}
        return {"saved": self.saved, "conflicts": self.conflicts, **failed}


def save(album: Album, backups: Backups, places: list[str]) -> dict[str, Any]:
    """Writes the edits of files. First all that they hold is kept, then they are written. Errors: BadFile."""
    with album.lock:
        drafts = {place: album.drafts[place] for place in places if place in album.drafts}
        album.steps.settle()
    album.job.total = 2 * len(drafts)
    done = Saved()
    ready: dict[str, Stamp | None] = {}
    if drafts:
        with backups.making() as backup:
            for place, draft in drafts.items():
                album.job.done += 1
                file = _as_it_is(album, place)
                if file.trouble:
                    done.failed.append([os.path.basename(place), from_program(say_reason(file.trouble))])
                elif file.text != draft.base:
                    done.conflicts += 1
                else:
                    ready[place] = file.stamp
                    backup.keep(place, Path(place).read_bytes() if file.stamp else None)
    for place, stamp in ready.items():
        album.job.done += 1
        _write(album, place, drafts[place], stamp, done)
    return done.as_json()


def restore(album: Album, backups: Backups, id: str) -> dict[str, int]:
    """Makes what files held before a saving unsaved edits again; files of other folders stay. Errors: BadOption."""
    with album.lock:
        mine = {text for picture in album.pictures for text in picture.texts if text}
        kept = backups.files(id)
        texts = {place: _text_of(copy) for place, copy in kept.items() if place in mine and not _trouble(album, place)}
        changed = sum(text != album.text(place) for place, text in texts.items())
        album.edit(texts)
    return {"restored": changed, "elsewhere": len(kept) - len(texts)}


def _as_it_is(album: Album, place: str) -> TextFile:
    """What a file holds now; the album learns of it."""
    file = read_text_file(place, album.gate)
    with album.lock:
        album.texts[place] = file
        album.version += 1
    return file


def _write(album: Album, place: str, draft: Draft, stamp: Stamp | None, done: Saved) -> None:
    if stamp_of(place) != stamp:
        _as_it_is(album, place)
        done.conflicts += 1
        return
    try:
        # A link stays one: what it leads to is written.
        write_text(Path(place).resolve(), draft.text + "\n" if draft.text else "")
    except BadFile as error:
        done.failed.append([os.path.basename(place), str(error)])
        return
    with album.lock:
        album.texts[place] = TextFile(draft.text, "utf-8", stamp_of(place))
        _settle(album, place, draft)
        album.version += 1
    done.saved += 1


def _settle(album: Album, place: str, written: Draft) -> None:
    """What was edited on while the file was written stays an edit."""
    now = album.drafts.get(place)
    if now is None:
        return
    if now.text == written.text:
        del album.drafts[place]
    else:
        album.drafts[place] = Draft(now.text, written.text)


def _text_of(copy: Path | None) -> str:
    found = read_caption(copy) if copy else None
    return found.text if found else ""


def _trouble(album: Album, place: str) -> bool:
    return album.texts.get(place, NO_FILE).trouble is not None
