"""Collects the texts beside pictures into the metadata: captions into "caption", tags into "tags". Needs no torch."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from sd_scripts.library.data.captions import (
    UnreadableText,
    caption_path,
    checked_extension,
    other_ending,
    read_caption,
)
from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.io.metadata import Metadata, check_out_json, keys_of, read_metadata, write_metadata
from sd_scripts.library.report import Report
from sd_scripts.options.common import MergeOptions


@dataclass
class _Counts:
    merged: int = 0
    missing: int = 0
    empty: int = 0
    decoded: int = 0


def merge_texts(options: MergeOptions, extension: str, field: Literal["caption", "tags"], report: Report) -> None:
    """Reads the text beside every picture, puts it into the metadata's `field`, and writes the metadata.

    Errors: BadOption and BadFile before work starts; NothingUsable, when no picture has a text.
    """
    ending = checked_extension(extension)
    if options.recursive and not options.full_path:
        raise BadOption("full_path", "--recursive needs --full_path: pictures of several folders may share a name.")
    images = find_images(options.train_data_dir, options.recursive)
    keys = keys_of(images, options.full_path)
    check_out_json(options.out_json)
    metadata = _start(options, report)

    report.phase("merge", f"Merging {ending} files of {len(images):,} pictures", total=len(images))
    counts = _Counts()
    for key, image in report.each(keys.items(), len(keys)):
        text = _text_of(image, ending, counts, report)
        if text:
            metadata.setdefault(key, {})[field] = text
            counts.merged += 1
            if options.debug:
                report.say(f"{key}: {text}")
    if not counts.merged:
        raise NothingUsable(_nothing(Path(options.train_data_dir), images, ending, report))
    if report.stop_asked():
        report.notice("Stopped before the end: the metadata file was not written.")
        return
    _finish(options, metadata, len(images), counts, report)


def _start(options: MergeOptions, report: Report) -> Metadata:
    """The metadata to extend: --in_json, else an output file that is there already, else nothing."""
    if options.in_json:
        metadata = read_metadata(options.in_json)
    elif Path(options.out_json).is_file():
        report.notice(f"Extending {options.out_json}, which is there already.")
        metadata = read_metadata(options.out_json, "out_json")
    else:
        return {}
    _check_keys(metadata, options)
    return metadata


def _check_keys(metadata: Metadata, options: MergeOptions) -> None:
    absolute = sum(1 for key in metadata if Path(key).is_absolute())
    source = options.in_json or options.out_json
    if options.full_path and metadata and not absolute:
        raise BadOption("full_path", f"{source} names pictures by stem: leave out --full_path, or start a new file.")
    if not options.full_path and absolute:
        raise BadOption("full_path", f"{source} names pictures by their full path: add --full_path.")


def _text_of(image: Path, ending: str, counts: _Counts, report: Report) -> str:
    try:
        found = read_caption(caption_path(image, ending))
    except UnreadableText as error:
        report.failed_item(caption_path(image, ending), str(error))
        return ""
    if found is None:
        counts.missing += 1
        return ""
    counts.empty += not found.text
    counts.decoded += not found.encoding.startswith("utf-8")
    return found.text


def _nothing(folder: Path, images: list[Path], ending: str, report: Report) -> str:
    if report.failures:
        item, reason = report.failures[0]
        return f"None of the {len(images):,} pictures in {folder} has a text. The first file, {item}: {reason}."
    other = other_ending(images, ending)
    hint = f" There are {other} files: try --caption_extension {other}." if other else ""
    return f"None of the {len(images):,} pictures in {folder} has a {ending} file with text in it.{hint}"


def _finish(options: MergeOptions, metadata: Metadata, pictures: int, counts: _Counts, report: Report) -> None:
    out = Path(options.out_json)
    write_metadata(out, metadata)
    report.saved(out, "metadata")
    parts = [f"{counts.merged:,} of {pictures:,} pictures have text"]
    parts += [f"{counts.missing:,} have no file"] if counts.missing else []
    parts += [f"{counts.empty:,} have an empty one"] if counts.empty else []
    parts += [f"{counts.decoded:,} were not UTF-8 and were decoded"] if counts.decoded else []
    report.summary(f"{'; '.join(parts)}. Wrote {len(metadata):,} entries to {out}.", pictures=pictures, **vars(counts))
