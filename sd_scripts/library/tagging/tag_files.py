"""Where tags are written: a text file beside every picture, or one JSON file for all."""

import json
from pathlib import Path
from typing import Any

from sd_scripts.library.data.captions import caption_path, read_caption
from sd_scripts.library.data.images import image_size
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import write_json, write_text
from sd_scripts.library.io.metadata import image_key, read_metadata
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.folder import check_room
from sd_scripts.library.tagging.late_texts import FILES_AT_ONCE, written_ns
from sd_scripts.library.tagging.tag_text import joined_once, split_tags


class TagFiles:
    """Comma-separated tags in a text file beside every picture; with `append`, after those that it holds."""

    at_once = FILES_AT_ONCE

    def __init__(self, extension: str, separator: str = ", ", append: bool = False) -> None:
        self._extension = extension
        self._separator = separator
        self._append = append

    def described_ns(self, image: Path) -> int | None:
        """When the file beside the picture was written."""
        return written_ns(caption_path(image, self._extension))

    def write(self, image: Path, tags: list[str]) -> str:
        """Errors: BadFile; UnreadableText, when tags are to be added to a text that cannot be read."""
        path = caption_path(image, self._extension)
        old = read_caption(path) if self._append else None
        if old:
            tags = joined_once(split_tags(old.text, self._separator), tags)
        text = self._separator.join(tags)
        write_text(path, text + "\n")
        return text

    def finish(self, report: Report) -> None:
        """Every file is complete already."""


class TagJson:
    """All tags in one file: .json as metadata, by full path, or .jsonl with a picture a line.

    `append`: a picture's tags come after those that it has there; `keep`: what is there of other pictures stays.

    Errors: BadOption, for another ending; BadFile, where nothing can be written, or what tags are to be added to is no
    metadata.
    """

    # In the order of the pictures.
    at_once = 1

    def __init__(self, path: Path, separator: str, append: bool, keep: bool = False) -> None:
        if path.suffix.lower() not in (".json", ".jsonl"):
            raise BadOption("output_path", f"--output_path {path}: the name must end in .json or .jsonl.")
        if path.is_dir():
            raise BadOption("output_path", f"--output_path {path} is a folder. Name a file in it.")
        check_room(path.absolute().parent)
        self._path = path
        self._separator = separator
        self._lines = path.suffix.lower() == ".jsonl"
        self._field = "caption" if self._lines else "tags"
        kept = (append or keep) and path.is_file()
        self._entries: dict[str, Any] = dict(read_metadata(path, "output_path")) if kept else {}
        self._append = append
        self._written_ns = written_ns(path)

    def described_ns(self, image: Path) -> int | None:
        """When the file was written, if the picture has its text in it."""
        entry = self._entries.get(image_key(image, full_path=True), {})
        return self._written_ns if entry.get(self._field) else None

    def write(self, image: Path, tags: list[str]) -> str:
        """Errors: UnreadableImage."""
        key = image_key(image, full_path=True)
        entry = self._entries.get(key, {})
        if self._append:
            tags = joined_once(split_tags(entry.get(self._field, ""), self._separator), tags)
        text = self._separator.join(tags)
        self._entries[key] = entry | {self._field: text, "image_size": list(image_size(image))}
        return text

    def finish(self, report: Report) -> None:
        """Errors: BadFile."""
        patiently(report, self._path, self._write_all)
        report.saved(self._path, "metadata")

    def _write_all(self) -> None:
        if self._lines:
            rows = ({"image_path": key, **entry} for key, entry in self._entries.items())
            write_text(self._path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows))
        else:
            write_json(self._path, self._entries)
