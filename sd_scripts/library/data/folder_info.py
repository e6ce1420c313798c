"""Sizes and captions of a folder's pictures: read, or taken from a file kept there (--cache_info). Needs no torch.

The file, metadata_cache.json, is laid out as that of sd-scripts: {path: {"caption", "resolution"}}. Ours also says of
what state of the picture and its caption each entry was made, and no entry is trusted that does not say it.
"""

from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.library.data.captions import caption_path, read_caption
from sd_scripts.library.data.known_files import KnownFiles, settled
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

    def __init__(self, folder: Path, caption_extension: str, kept: bool, known: KnownFiles, report: Report) -> None:
        self._file = folder / FILE_NAME
        self._extension = caption_extension
        self._kept = kept
        self._report = report
        self._known = known
        self._before: dict[str, Any] = _read(self._file) if kept and known.trusting else {}
        self._now: dict[str, Any] = {}
        self.taken = 0
        """Pictures that did not have to be opened."""

    def of(self, image: Path) -> PictureInfo:
        """Errors: UnreadableImage, UnreadableText."""
        text_file = caption_path(image, self._extension)
        if not self._kept:
            return self._read(image, text_file)
        state = [*_state(image), self._extension, *_state(text_file)]
        known = self._before.get(str(image.absolute()))
        if isinstance(known, dict) and known.get("made_from") == state:
            info = PictureInfo((known["resolution"][0], known["resolution"][1]), known["caption"])
            self.taken += 1
        else:
            info = self._read(image, text_file)
        self._now[str(image.absolute())] = {
            "caption": info.caption,
            "resolution": list(info.size_px),
            # What changed just now may change again and look the same.
            "made_from": state if _all_settled(state) else None,
        }
        return info

    def _read(self, image: Path, text_file: Path) -> PictureInfo:
        found = read_caption(text_file)
        return PictureInfo(self._known.size_of(image), found.text if found else "")

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


def _all_settled(state: list[Any]) -> bool:
    """Whether both files were changed long enough ago. `state`: [bytes, ns, ending] and perhaps [bytes, ns]."""
    return settled(max(state[1:2] + state[4:5], default=0))


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
