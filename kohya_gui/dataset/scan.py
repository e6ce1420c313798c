"""Reads an album from disk: which pictures there are, their sizes from the heads of the files, their texts."""

import contextlib
import itertools
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from kohya_gui.dataset.album import Album, Picture, Source
from kohya_gui.dataset.texts import NO_FILE, TextFile, read_text_file
from kohya_gui.found import stamp_of
from kohya_gui.words import Reason
from sd_scripts.library.data.captions import caption_path
from sd_scripts.library.data.images import UnreadableImage, find_images, image_size
from sd_scripts.library.data.picture_folder import PictureFolder
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.metadata import read_entries

MOST_PICTURES = 200_000
"""An album holds no more, so that it fits into memory."""

AT_ONCE = 256
WORKERS = 4

Found = tuple[str, str]
"""A picture's path, empty where there is none, and the name under which it is shown."""


def scan(album: Album) -> dict[str, Any]:
    """Reads what is new or was changed since the last time; edits that are not saved stay. Errors: BadOption."""
    found = _metadata_pictures(album) if album.source.metadata else _folder_pictures(album.source)
    kept = list(itertools.islice(found, MOST_PICTURES))
    album.cut_off = sum(1 for _ in found)
    album.job.total = len(kept)
    known = {picture.place or picture.name: (i, picture) for i, picture in enumerate(album.pictures)}
    with ThreadPoolExecutor(WORKERS) as pool:
        for batch in _batches(kept):
            if album.job.stopped:
                return {}
            looked = list(pool.map(lambda one: _look(album, one, known), batch))
            _take(album, looked, known)
            album.job.done += len(batch)
    there = {place or name for place, name in kept}
    with album.lock:
        for picture in album.pictures:
            picture.gone = (picture.place or picture.name) not in there
        album.version += 1
    return {"pictures": len(kept)}


def _batches(found: list[Found]) -> Iterator[list[Found]]:
    return (found[start : start + AT_ONCE] for start in range(0, len(found), AT_ONCE))


def _folder_pictures(source: Source) -> Iterator[Found]:
    several = len(source.folders) > 1
    for folder in map(Path, source.folders):
        before = folder.parent if several else folder
        for picture in find_images(folder, source.recursive, "folder"):
            yield str(picture), str(picture.relative_to(before))


def _metadata_pictures(album: Album) -> Iterator[Found]:
    """The pictures that a metadata file names, by their keys. A picture that is not there is listed as such."""
    source = album.source
    finders = list(_finders(source))
    for key, _ in read_entries(source.metadata):
        yield (_found(album, finders, key), key)


def _finders(source: Source) -> Iterator[PictureFolder]:
    for folder in source.folders:
        # A folder without pictures has none of this file's either.
        with contextlib.suppress(BadOption):
            yield PictureFolder(Path(folder))


def _found(album: Album, finders: list[PictureFolder], key: str) -> str:
    if os.path.isabs(key):
        return key if album.gate.lets(key) and os.path.isfile(key) else ""
    for finder in finders:
        try:
            picture = finder.find(key)
        except BadOption:
            continue
        if picture and album.gate.lets(str(picture)):
            return str(picture)
    return ""


def _look(album: Album, found: Found, known: dict[str, tuple[int, Picture]]) -> tuple[Picture, dict[str, TextFile]]:
    place, name = found
    if not place:
        return Picture("", name, ("", ""), broken=Reason("dataset.missing")), {}
    before = known.get(place)
    stamp = stamp_of(place)
    if before and before[1].place == place and before[1].stamp == stamp:
        picture = before[1]
    else:
        picture = _measured(album, place, name)
    return picture, {text: _read(album, text) for text in picture.texts if text}


def _measured(album: Album, place: str, name: str) -> Picture:
    endings = album.source.endings
    texts = tuple(str(caption_path(Path(place), ending)) if ending else "" for ending in endings)
    picture = Picture(place, name, (texts[0], texts[1]), stamp_of(place))
    if not album.gate.lets(place):
        picture.broken = Reason("dataset.outside")
        return picture
    try:
        picture.size_px = image_size(place)
    except UnreadableImage as error:
        picture.broken = Reason("dataset.why", {"why": str(error)})
    return picture


def _read(album: Album, place: str) -> TextFile:
    """A text file, read only where it is new or was changed."""
    before, stamp = album.texts.get(place), stamp_of(place)
    if before and before.stamp == stamp and not before.trouble:
        return before
    return read_text_file(place, album.gate)


def _take(
    album: Album, looked: list[tuple[Picture, dict[str, TextFile]]], known: dict[str, tuple[int, Picture]]
) -> None:
    with album.lock:
        for picture, texts in looked:
            before = known.get(picture.place or picture.name)
            if before:
                album.pictures[before[0]] = picture
            else:
                album.pictures.append(picture)
            picture.gone = False
            _take_texts(album, texts)
        album.version += 1


def _take_texts(album: Album, texts: dict[str, TextFile]) -> None:
    for place, file in texts.items():
        album.learn(place, file)
        draft = album.drafts.get(place)
        if draft and draft.text == file.text:
            # Someone else wrote the same.
            del album.drafts[place]
    for place in [place for place, file in texts.items() if file is NO_FILE]:
        album.texts.pop(place, None)
