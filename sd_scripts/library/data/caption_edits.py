"""Changes the texts of many pictures: a trigger word, a prefix, a suffix, a replacement. Needs no torch."""

import os
from collections import Counter
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import NamedTuple

from sd_scripts.library import events
from sd_scripts.library.data.captions import UnreadableText, caption_path, checked_extension, read_caption
from sd_scripts.library.data.copies import check_not_below, check_target
from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.io.asked import check_one_place
from sd_scripts.library.io.atomic import replacing_folder, write_text
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted
from sd_scripts.options.picture_tools import EditCaptionFilesOptions, EditCaptionsOptions, EditCaptionTextOptions

BACKUPS = ".texts_before"
"""Hidden, so that no picture folder takes it for one of its own."""


class Edit(NamedTuple):
    """What becomes of a text file. `before` is None where there is none."""

    path: Path
    before: str | None
    after: str


def edit_captions(options: EditCaptionsOptions, report: Report) -> None:
    """The whole work. Errors: BadOption, BadFile; NothingUsable, when there is no text."""
    files = options.files
    _check(options)
    source, ending = Path(files.folder).expanduser(), checked_extension(files.caption_extension)
    images = find_images(source, files.recursive, "folder")
    target = _target(options, source)
    texts = list(dict.fromkeys(caption_path(image, ending) for image in images))
    report.phase("captions", f"Reading the texts of {counted(len(images), 'picture')}", len(texts))
    edits, counts = [], Counter[str](missing=0, decoded=0)
    for path in report.each(texts, len(texts)):
        edit = _edit(path, options.text, counts, report)
        edits += [edit] if edit else []
    if report.stop_asked():
        sentence = "Stopped as asked before anything was written."
        report.say(sentence)
        report.emit(events.Stopped(sentence=sentence))
        return
    if not edits:
        raise NothingUsable(f"None of the {len(images):,} pictures in {source} has a {ending} file with text in it.")
    changed = [edit for edit in edits if edit.after != edit.before]
    for edit in changed if options.debug else []:
        report.say(f"{edit.path.name}: {edit.after}")
    if target is None and changed:
        _write_in_place(changed, source, report)
    elif target is not None:
        _write_beside(edits, source, target, report)
    _tell(len(edits), len(changed), counts, source, report)


def edited(text: str, wanted: EditCaptionTextOptions) -> str:
    """A text after all that is wanted, line by line: each line of a file is a text of its own."""
    lines = [_edited_line(line, wanted) if line.strip() else line for line in text.split("\n")]
    return "\n".join(lines).strip()


def _edited_line(line: str, wanted: EditCaptionTextOptions) -> str:
    # Spaces at the ends of a text do not last.
    prefix, suffix = (wanted.prefix or "").lstrip(), (wanted.suffix or "").rstrip()
    # Without what an earlier run put around it: the trigger word stands behind the prefix.
    line = line.removeprefix(prefix).removesuffix(suffix)
    if wanted.find:
        line = line.replace(wanted.find, wanted.replace)
    if wanted.trigger_word:
        line = _with_first(line, wanted.trigger_word)
    return prefix + line + suffix


def _with_first(line: str, trigger: str) -> str:
    """The line with these tags first, and nowhere else."""
    first, tags = _tags(trigger), _tags(line)
    if tags[: len(first)] == first and not set(first) & set(tags[len(first) :]):
        return line
    return ", ".join([*first, *(tag for tag in tags if tag not in first)])


def _tags(text: str) -> list[str]:
    return [tag for part in text.split(",") if (tag := part.strip())]


def _check(options: EditCaptionsOptions) -> None:
    """Something is to be done, and a place to write to is named. Errors: BadOption."""
    files, text = options.files, options.text
    if text.replace and not text.find:
        raise BadOption("replace", "--replace says what takes the place of --find, which is missing.")
    if not any((text.find, text.trigger_word, text.prefix, text.suffix, text.text_for_missing)):
        wanted = "--trigger_word, --prefix, --suffix, --find or --text_for_missing"
        raise BadOption("trigger_word", f"Nothing is asked for. Use {wanted}.")
    if text.trigger_word and not _tags(text.trigger_word):
        raise BadOption("trigger_word", "--trigger_word has no word in it.")
    check_one_place("--output_folder", files.output_folder, files.in_place)


def _target(options: EditCaptionsOptions, source: Path) -> Path | None:
    """The folder to write to; None for where the texts are. Errors: BadOption."""
    files: EditCaptionFilesOptions = options.files
    if not files.output_folder:
        return None
    target = Path(files.output_folder).expanduser()
    check_target(target, "output_folder", options.target.add_to_existing, [source])
    if files.recursive:
        check_not_below(target, "output_folder", source)
    return target


def _edit(path: Path, wanted: EditCaptionTextOptions, counts: Counter[str], report: Report) -> Edit | None:
    try:
        found = read_caption(path)
    except UnreadableText as error:
        report.failed_item(path, str(error))
        return None
    counts["decoded"] += found is not None and not found.encoding.startswith("utf-8")
    text = found.text if found else ""
    if not text and not wanted.text_for_missing:
        counts["missing"] += 1
        return None
    return Edit(path, found.text if found else None, edited(text or wanted.text_for_missing or "", wanted))


def _write_in_place(edits: list[Edit], source: Path, report: Report) -> None:
    """First all that the files held is kept, byte for byte, then they are written. Errors: BadFile."""
    backup = _free(source / BACKUPS / datetime.now().strftime("%Y-%m-%d_%H-%M-%S"))
    there = [edit for edit in edits if edit.before is not None]
    report.phase("backup", f"Keeping what {counted(len(there), 'file')} held in {backup}", len(there))
    patiently(report, source, partial(_keep, there, source, backup, report))
    report.phase("write", f"Writing {counted(len(edits), 'text')}", len(edits))
    for done, edit in enumerate(edits, 1):
        # A link stays one: what it leads to is written.
        place = edit.path.resolve()
        patiently(report, place, partial(write_text, place, edit.after + "\n"))
        report.progress(done, len(edits))


def _keep(edits: list[Edit], source: Path, backup: Path, report: Report) -> None:
    """Keeps what files hold in a folder that appears whole. Errors: BadFile."""
    with replacing_folder(backup) as beside:
        for done, edit in enumerate(edits, 1):
            place = beside / edit.path.relative_to(source)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(edit.path.read_bytes())
            report.progress(done, len(edits))


def _write_beside(edits: list[Edit], source: Path, target: Path, report: Report) -> None:
    report.phase("write", f"Writing {counted(len(edits), 'text')} to {target}", len(edits))
    for edit in report.each(edits, len(edits)):
        place = target / os.path.relpath(edit.path, source)
        if place.exists():
            report.failed_item(place, "it is there already, and stays as it is")
        else:
            patiently(report, target, partial(write_text, place, edit.after + "\n"))


def _free(folder: Path) -> Path:
    number, free = 1, folder
    while free.exists():
        number += 1
        free = folder.with_name(f"{folder.name}_{number}")
    return free


def _tell(read: int, changed: int, counts: Counter[str], source: Path, report: Report) -> None:
    parts = [f"{changed:,} of {read:,} texts in {source} changed"]
    parts += [f"{counts['missing']:,} pictures have none"] if counts["missing"] else []
    parts += [f"{counts['decoded']:,} were not UTF-8 and were decoded"] if counts["decoded"] else []
    report.counts.update(counts)
    report.summary(f"{'; '.join(parts)}.", changed=changed, texts=read)
