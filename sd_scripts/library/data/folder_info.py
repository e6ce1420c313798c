"""Sizes and captions of a folder's pictures: read, or taken from a file kept there (--cache_info). Needs no torch.

The file, metadata_cache.json, is laid out as that of sd-scripts: {path: {"caption", "resolution"}}. Ours also says of
what state of the picture and its caption each entry was made, and no entry is trusted that does not say it.
"""

from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.library.data.captions import caption_path, read_caption
from sd_scripts.library.data.images import image_size
from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.atomic import write_json
from sd_scripts.library.io.reading import DATA_BYTES, parse_json, read_whole
from sd_scripts.library.report import Report

FILE_NAME = "metadata_cache.json"


class PictureInfo(NamedTuple):
    """What is known of a picture: (width, height) in px, and the whole text of its caption file ("" where none)."""

    size_px: tuple[int, int]
    caption: str


class FolderInfo:
    """Gives the sizes and captions of a folder. `kept`: from the file there where it still holds."""

    def __init__(self, folder: Path, caption_extension: str, kept: bool, report: Report) -> None:
        self._file = folder / FILE_NAME
        self._extension = caption_extension
        self._kept = kept
        self._report = report
        self._before: dict[str, Any] = _read(self._file) if kept else {}
        self._now: dict[str, Any] = {}
        self.taken = 0
        """Pictures that did not have to be opened."""

    def of(self, image: Path) -> PictureInfo:
        """Errors: UnreadableImage, UnreadableText."""
        text_file = caption_path(image, self._extension)
        state = [*_state(image), self._extension, *_state(text_file)]
        known = self._before.get(str(image.absolute()))
        if isinstance(known, dict) and known.get("made_from") == state:
            info = PictureInfo((known["resolution"][0], known["resolution"][1]), known["caption"])
            self.taken += 1
        else:
            found = read_caption(text_file)
            info = PictureInfo(image_size(image), found.text if found else "")
        self._now[str(image.absolute())] = {
            "caption": info.caption,
            "resolution": list(info.size_px),
            "made_from": state,
        }
        return info

    def keep(self) -> None:
        """Writes the file, where it is asked for and something has changed; says how much it saved."""
        if not self._kept:
            return
        text = f"{self._file}: {self.taken:,} of {len(self._now):,} pictures were known and not opened."
        self._report.say(text)
        if self._now != self._before:
            try:
                write_json(self._file, self._now)
            except BadFile as error:
                self._report.notice(f"Sizes and captions are not kept. {error}", "warning")


def _state(file: Path) -> list[int]:
    """[bytes, time of the last change in ns]; empty where there is no file."""
    try:
        facts = file.stat()
    except OSError:
        return []
    return [facts.st_size, facts.st_mtime_ns]


def _read(file: Path) -> dict[str, Any]:
    """The entries of the file; none where it is missing or broken: it is only a help."""
    try:
        found = parse_json(read_whole(file, DATA_BYTES))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}
