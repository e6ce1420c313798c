"""The albums that are open, and how one is named and found."""

import contextlib
import secrets
import threading
from pathlib import Path
from typing import Any

from kohya_gui.dataset.album import Album, Source
from kohya_gui.dataset.gate import Gate
from kohya_gui.dataset.scan import scan
from kohya_gui.dataset.thumbnails import Thumbnails
from kohya_gui.files import Roots, bare
from kohya_gui.pictures import is_parent
from kohya_gui.project import Project, check_pictures
from kohya_gui.stages import CAPTIONS_JSON, CLEAN_JSON, LATENTS_JSON, TAGS_JSON
from kohya_gui.words import refusal
from kohya_gui.written import TEXT_SUFFIXES, is_text_ending
from sd_scripts.library.data.captions import checked_extension
from sd_scripts.library.errors import BadOption

MOST_OPEN = 4
METADATA_SUFFIXES = (".json", ".jsonl")


class Albums:
    """The albums that are open. Those without unsaved edits are closed when there are too many."""

    def __init__(self, roots: Roots, thumbnails: Thumbnails) -> None:
        self._roots = roots
        self._thumbnails = thumbnails
        self._open: dict[str, Album] = {}
        self._lock = threading.Lock()

    def open(self, source: Source) -> Album:
        """The album of a source; what it held is read anew. Errors: BadOption, where there is nothing to show."""
        with self._lock:
            album = next((one for one in self._open.values() if one.source == source), None) or self._new(source)
            self._open[album.id] = self._open.pop(album.id, album)
            self._close_some()
        # Where another window has it read or saved at the moment, that is enough.
        if not album.job.busy:
            with contextlib.suppress(BadOption):
                album.job.start("scan", lambda: scan(album))
        return album

    def _new(self, source: Source) -> Album:
        """Under a name of its own: one opened anew may number its pictures otherwise than a window still knows."""
        return Album(secrets.token_hex(8), source, Gate(self._roots), self._thumbnails)

    def get(self, id: str) -> Album:
        """An open album. Errors: BadOption, naming `album`, when it was closed."""
        album = self._open.get(id)
        if album is None:
            raise refusal("album", "dataset.closed")
        return album

    def source(self, paths: list[str], endings: tuple[str, str], recursive: bool, project_folders: list[str]) -> Source:
        """Where pictures come from: folders, or one metadata file, whose names stand in the project's folders.

        Errors: BadOption.
        """
        places = [self._roots.inside(bare(path), "paths") for path in paths if bare(path)]
        if not places:
            raise refusal("paths", "path.pictures_needed")
        if places[0].suffix.lower() in METADATA_SUFFIXES and len(places) == 1:
            if not places[0].is_file():
                raise refusal("paths", "path.no_metadata", path=places[0])
            folders = (*map(str, self._inside(project_folders)), str(places[0].parent))
            return Source(folders, str(places[0]), checked_endings(*endings))
        recursive = recursive or any(map(is_parent, places))
        for place in places:
            _check_folder(place, recursive)
        return Source(tuple(dict.fromkeys(map(str, places))), "", checked_endings(*endings), recursive)

    def _inside(self, folders: list[str]) -> list[Path]:
        return [place for folder in folders if (place := self._roots.inside(folder, "paths")).is_dir()]

    def _close_some(self) -> None:
        idle = [id for id, album in self._open.items() if not album.drafts]
        for id in idle[: max(0, len(self._open) - MOST_OPEN)]:
            self._open.pop(id).job.stop()


def project_sources(project: Project) -> list[dict[str, Any]]:
    """What a project offers to look at: its folders, all of them together, the metadata files that are there."""
    folders = [{"kind": "folder", "paths": [folder]} for folder in project.pictures]
    together = [{"kind": "all", "paths": list(project.pictures)}] if len(folders) > 1 else []
    names = (CAPTIONS_JSON, TAGS_JSON, CLEAN_JSON, LATENTS_JSON) if project.work_dir else ()
    files = [path for name in names if (path := Path(project.work_dir) / name).is_file()]
    return [*together, *folders, *({"kind": "metadata", "paths": [str(path)]} for path in files)]


def checked_endings(caption: str, tags: str) -> tuple[str, str]:
    """The endings with their dots. Errors: BadOption, for one that cannot be, none at all, or twice the same."""
    given = {"caption_extension": caption.strip(), "tags_extension": tags.strip()}
    for name, ending in given.items():
        if ending and not is_text_ending(ending):
            raise refusal(name, "path.text_ending", ending=ending, kinds=", ".join(TEXT_SUFFIXES))
    made: dict[str, str] = {}
    for name, ending in given.items():
        try:
            made[name] = checked_extension(ending, name) if ending else ""
        except BadOption as error:
            raise refusal(name, "dataset.ending", ending=ending) from error
    if made["caption_extension"] == made["tags_extension"]:
        raise refusal("tags_extension", "dataset.same_endings" if caption.strip() else "dataset.no_endings")
    return made["caption_extension"], made["tags_extension"]


def _check_folder(folder: Path, recursive: bool) -> None:
    try:
        check_pictures(folder, "paths")
    except BadOption:
        # Pictures that lie only in folders below are enough, where those are asked for.
        if not (recursive and folder.is_dir()):
            raise


def described(album: Album) -> dict[str, Any]:
    """How an album is at the moment, for the page."""
    with album.lock:
        job = album.job
        return {
            "album": album.id,
            "version": album.version,
            "busy": {"what": job.what, "done": job.done, "total": job.total} if job.busy else None,
            "last": {"what": job.what, "trouble": job.error, **job.result},
            "pictures": len(album.alive()),
            "cut_off": album.cut_off,
            "unsaved": len(album.drafts),
            "conflicts": sum(map(album.in_conflict, album.drafts)),
            "undo": bool(album.steps.back),
            "redo": bool(album.steps.forth),
            "metadata": bool(album.source.metadata),
            "endings": list(album.source.endings),
            "folders": list(album.source.folders),
        }
