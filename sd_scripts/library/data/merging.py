"""Collects the texts beside pictures into the metadata: captions into "caption", tags into "tags". Needs no torch."""

import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from sd_scripts.library.data.captions import (
    UnreadableText,
    checked_extension,
    other_ending,
    read_caption,
)
from sd_scripts.library.data.images import image_places
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.io.metadata import (
    Entries,
    Entry,
    check_out_json,
    keys_of,
    read_entries,
    without_ending,
    write_entries,
)
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report
from sd_scripts.options.common import MergeOptions

Field = Literal["caption", "tags"]
LOOK_EVERY = 16
"""After so many pictures the work tells how far it is and hears a stop: files may lie behind a slow network."""


def merge_texts(options: MergeOptions, extension: str, field: Field, report: Report) -> None:
    """Reads the text beside every picture, puts it into the metadata's `field`, and writes the metadata.

    Entries pass from file to file one by one: the memory grows with the folder's pictures, not with the metadata.

    Errors: BadOption, BadFile; NothingUsable, when no picture has a text; StoppedAsAsked.
    """
    ending = checked_extension(extension)
    if options.recursive and not options.full_path:
        raise BadOption("full_path", "--recursive needs --full_path: pictures of several folders may share a name.")
    images = image_places(options.train_data_dir, options.recursive)
    keys = keys_of(images, options.full_path)
    check_out_json(options.out_json)
    if not options.in_json and Path(options.out_json).is_file():
        report.notice(f"Extending {options.out_json}, which is there already.")
    report.phase("merge", f"Merging {ending} files of {len(images):,} pictures", total=len(images))

    def write() -> tuple[int, _Texts]:
        texts = _Texts(ending, field, report, options.debug)
        entries = _start(options)
        return write_entries(options.out_json, _merged(entries, keys, texts, options.train_data_dir)), texts

    written, texts = patiently(report, Path(options.out_json), write)
    report.saved(Path(options.out_json), "metadata")
    for path, reason in texts.unread:
        report.failed_item(path, reason)
    counts = texts.counts
    told = f"{counts.told(len(images))}. Wrote {written:,} entries to {options.out_json}."
    report.summary(told, pictures=len(images), **asdict(counts))


@dataclass
class _Counts:
    merged: int = 0
    missing: int = 0
    empty: int = 0
    decoded: int = 0

    def told(self, pictures: int) -> str:
        """In words."""
        parts = [f"{self.merged:,} of {pictures:,} pictures have text"]
        parts += [f"{self.missing:,} have no file"] if self.missing else []
        parts += [f"{self.empty:,} have an empty one"] if self.empty else []
        parts += [f"{self.decoded:,} were not UTF-8 and were decoded"] if self.decoded else []
        return "; ".join(parts)


class _Texts:
    """Reads the texts of pictures, and keeps count of them. `unread`: files that cannot be read, and why."""

    def __init__(self, ending: str, field: Field, report: Report, debug: bool) -> None:
        self.ending, self.report, self.counts = ending, report, _Counts()
        self.unread: list[tuple[str, str]] = []
        self._field, self._debug = field, debug

    def put(self, entry: Entry, key: str, image: str) -> bool:
        """Puts the text of a picture into its entry; False where it has none."""
        text = self._read(without_ending(image) + self.ending)
        if not text:
            return False
        entry[self._field] = text
        self.counts.merged += 1
        if self._debug:
            self.report.say(f"{key}: {text}")
        return True

    def _read(self, path: str) -> str:
        try:
            found = read_caption(path)
        except UnreadableText as error:
            self.unread.append((path, str(error)))
            return ""
        if found is None:
            self.counts.missing += 1
            return ""
        self.counts.empty += not found.text
        self.counts.decoded += not found.encoding.startswith("utf-8")
        return found.text


def _merged(entries: Entries, keys: dict[str, str], texts: _Texts, folder: str) -> Entries:
    """The entries that are there already, each with its text, and behind them those that are new.

    Errors: NothingUsable, StoppedAsAsked.
    """
    known: set[str] = set()

    def advance() -> None:
        if len(known) % LOOK_EVERY == 0 or len(known) == len(keys):
            texts.report.progress(len(known), len(keys))
            texts.report.stop_if_asked()

    for key, entry in entries:
        if key in keys:
            texts.put(entry, key, keys[key])
            known.add(key)
            advance()
        yield key, entry
    for key in [key for key in keys if key not in known]:
        entry = Entry()
        has_text = texts.put(entry, key, keys[key])
        known.add(key)
        advance()
        if has_text:
            yield key, entry
    if not texts.counts.merged:
        raise NothingUsable(_nothing(Path(folder), [Path(image) for image in keys.values()], texts))


def _start(options: MergeOptions) -> Entries:
    """The entries to extend: those of --in_json, else of an output file that is there already, else none."""
    if options.in_json:
        return _of_same_keys(options.in_json, read_entries(options.in_json), options.full_path)
    if Path(options.out_json).is_file():
        return _of_same_keys(options.out_json, read_entries(options.out_json, "out_json"), options.full_path)
    return iter(())


def _of_same_keys(source: str, entries: Entries, full_path: bool) -> Entries:
    """Errors: BadOption, where the file names pictures in the other way than the options."""
    count = absolute = 0
    for key, entry in entries:
        count += 1
        absolute += os.path.isabs(key)
        if absolute and not full_path:
            raise BadOption("full_path", f"{source} names pictures by their full path: add --full_path.")
        yield key, entry
    if count and full_path and not absolute:
        raise BadOption("full_path", f"{source} names pictures by stem: leave out --full_path, or start a new file.")


def _nothing(folder: Path, images: list[Path], texts: _Texts) -> str:
    if texts.unread:
        item, reason = texts.unread[0]
        return f"None of the {len(images):,} pictures in {folder} has a text. The first file, {item}: {reason}."
    ending = texts.ending
    other = other_ending(images, ending)
    hint = f" There are {other} files: try --caption_extension {other}." if other else ""
    return f"None of the {len(images):,} pictures in {folder} has a {ending} file with text in it.{hint}"
