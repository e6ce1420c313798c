"""Pictures of an album as the page shows them."""

from typing import Any
from urllib.parse import quote

from kohya_gui.dataset.album import SLOTS, Album, Picture
from kohya_gui.dataset.bucketing import fit_of
from kohya_gui.dataset.texts import NO_FILE
from kohya_gui.words import say, say_reason
from sd_scripts.library.data.buckets import BucketRules

SHOWN_LETTERS = 2000
"""A row of the list shows no more of a text; the editor shows all of it."""


def row(album: Album, id: int) -> dict[str, Any]:
    """A picture with its texts, shortened."""
    picture = album.pictures[id]
    texts = {slot: _text(album, place) for slot, place in zip(SLOTS, picture.texts, strict=True)}
    for text in texts.values():
        if len(text["text"]) > SHOWN_LETTERS:
            text.update(text=text["text"][:SHOWN_LETTERS], cut=True)
    return {**_head(album, picture, id), "texts": texts}


def whole(album: Album, id: int, rules: BucketRules | None) -> dict[str, Any]:
    """A picture with all that is known of it; of a conflict also what others wrote."""
    picture = album.pictures[id]
    texts = {slot: _text(album, place) for slot, place in zip(SLOTS, picture.texts, strict=True)}
    for slot, place in zip(SLOTS, picture.texts, strict=True):
        if album.in_conflict(place):
            texts[slot]["theirs"] = album.texts.get(place, NO_FILE).text
    fit = fit_of(picture, rules) if rules else None
    bucket = {"bucket": fit.bucket, "scale": round(fit.scale, 3), "cut": round(fit.cut, 4)} if fit else None
    return {**_head(album, picture, id), "texts": texts, "fit": bucket, "place": picture.place}


def _head(album: Album, picture: Picture, id: int) -> dict[str, Any]:
    broken = album.broken(picture)
    return {
        "id": id,
        "name": picture.name,
        "size": list(picture.size_px) if picture.size_px else None,
        "url": thumbnail_url(picture) if not broken else "",
        "broken": say_reason(broken),
    }


def _text(album: Album, place: str) -> dict[str, Any]:
    """A text and how it stands: "" where it is as on disk, or absent, unsaved, conflict, unreadable, none."""
    file = album.texts.get(place, NO_FILE)
    text = album.text(place)
    if not place:
        state = "none"
    elif file.trouble:
        return {"text": "", "state": "unreadable", "why": say_reason(file.trouble)}
    elif album.in_conflict(place):
        state = "conflict"
    elif place in album.drafts:
        state = "unsaved"
    else:
        state = "" if text else "absent"
    other = file.encoding if file.encoding not in ("", "utf-8", "utf-8-sig") else ""
    return {"text": text, "state": state, "why": say("dataset.encoding", encoding=other) if other else ""}


def thumbnail_url(picture: Picture) -> str:
    """Where the page finds a thumbnail; a picture that changes has another address."""
    version = f"{picture.stamp[0]}-{picture.stamp[1]}" if picture.stamp else "0"
    return f"thumbnail?v={version}&path={quote(picture.place, errors='surrogateescape')}"
