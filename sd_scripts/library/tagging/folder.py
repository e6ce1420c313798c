"""The one loop of all captioners and taggers: read ahead, describe in batches, write the texts aside, go on."""

import os
import tempfile
from contextlib import closing
from pathlib import Path

from sd_scripts.library import events
from sd_scripts.library.data.captions import caption_path
from sd_scripts.library.data.images import find_images
from sd_scripts.library.errors import BadFile, NothingUsable
from sd_scripts.library.io.atomic import write_text
from sd_scripts.library.report import Report, counted
from sd_scripts.library.tagging.describer import Describer
from sd_scripts.library.tagging.feeding import groups
from sd_scripts.library.tagging.late_texts import FILES_AT_ONCE, LateTexts, Writer, written_ns
from sd_scripts.options.common import LoadingOptions, PicturesOptions

NO_WORDS = "the model has no words for it; a text that is there is left as it is"

NAMED = 5
"""Of many pictures that something is said about, the first ones."""


class SentenceFiles:
    """A sentence a file, beside the pictures."""

    at_once = FILES_AT_ONCE

    def __init__(self, extension: str) -> None:
        self._extension = extension

    def described_ns(self, image: Path) -> int | None:
        """When the file beside the picture was written."""
        return written_ns(caption_path(image, self._extension))

    def write(self, image: Path, result: str) -> str:
        """Errors: BadFile."""
        write_text(caption_path(image, self._extension), result + "\n")
        return result

    def finish(self, report: Report) -> None:
        """Every file is complete already."""


def pictures_to_describe(pictures: PicturesOptions, writer: Writer, report: Report) -> list[Path]:
    """The pictures that need a text; none, and that is said, where all have theirs and these are to be left alone.

    Errors: BadOption, when there are no pictures.
    """
    images = find_images(pictures.train_data_dir, pictures.recursive)
    if not pictures.skip_described:
        return images
    # One of several processes decides, before any of them writes.
    left = report.team.agree(_undescribed(images, writer, report))
    report.counts["kept"] = len(images) - len(left)
    text = f"{len(images) - len(left):,} of {len(images):,} pictures have their text already."
    if left:
        report.say(text)
    else:
        report.summary(text, described=0, total=len(images))
    return left


def _undescribed(images: list[Path], writer: Writer, report: Report) -> list[Path]:
    left: list[Path] = []
    changed: list[Path] = []
    for image in images:
        described_ns = writer.described_ns(image)
        if described_ns is None:
            left.append(image)
        elif os.stat(image).st_mtime_ns > described_ns:
            changed.append(image)
    if changed:
        # Somebody may have worked on the text since: it is not replaced unasked.
        named = ", ".join(map(str, changed[:NAMED])) + (", ..." if len(changed) > NAMED else "")
        what = f"{len(changed):,} of these were changed after their text was written: {named}"
        report.notice(f"{what}. Remove such texts to have the pictures described anew.", "warning")
    return left


def check_rooms(images: list[Path]) -> None:
    """Raises BadFile when one of the pictures' folders cannot be written to."""
    for folder in sorted({os.path.dirname(image) for image in images}):
        check_room(Path(folder))


def check_room(folder: Path) -> None:
    """Makes the folder if need be; raises BadFile where nothing can be written, before hours of work are lost to it."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return
    except OSError as error:
        reason = error.strerror or str(error)
        raise BadFile(
            f"{folder} cannot be written to ({reason}). Change its permissions, or work on a copy."
        ) from error


def describe_pictures(
    images: list[Path],
    describer: Describer,
    writer: Writer,
    pictures: PicturesOptions,
    loading: LoadingOptions,
    report: Report,
) -> None:
    """Describes every picture and writes its text; pictures that fail are counted and listed, and the rest goes on.

    Of several processes each describes its share: pictures that would share a text fall to one of them.

    Ends early, with what is done kept, when a stop is asked for. Errors: NothingUsable, when not one picture worked,
    nor had a text from an earlier run that was kept.
    """
    own = report.team.share(images, lambda image: image.with_suffix(""))
    report.phase("describe", f"Describing {counted(len(own), 'picture')}", len(own))
    written = sum(report.team.gather(_describe_all(own, describer, writer, pictures, loading, report)))
    report.gather_failures()
    _end(len(images), written, writer, report)


def _describe_all(
    images: list[Path],
    describer: Describer,
    writer: Writer,
    pictures: PicturesOptions,
    loading: LoadingOptions,
    report: Report,
) -> int:
    """How many pictures have their text now."""
    size, workers = _batch_size(describer, loading, report), loading.max_data_loader_n_workers
    with (
        LateTexts(writer, report, pictures.debug) as texts,
        closing(groups(_apart(images, report), describer, size, workers, pictures.fast_decode)) as coming,
    ):
        for group in coming:
            for path, reason in group.failed:
                report.failed_item(path, reason)
            if group.batch is not None:
                for path, result in zip(group.paths, describer.describe(group.batch, group.paths), strict=True):
                    if result == "":
                        report.failed_item(path, NO_WORDS)
                    else:
                        texts.put(path, result)
            report.progress(texts.written + report.failed, len(images))
            if report.stop_asked():
                break
    report.progress(texts.written + report.failed, len(images))
    return texts.written


def _apart(images: list[Path], report: Report) -> list[Path]:
    """Leaves out a.jpg beside a.png: both would write into one file."""
    owners: dict[str, Path] = {}
    for image in images:
        owner = owners.setdefault(os.path.splitext(image)[0], image)
        if owner is not image:
            report.failed_item(image, f"its text would overwrite that of {owner.name}; rename one of them")
    return list(owners.values())


def _batch_size(describer: Describer, loading: LoadingOptions, report: Report) -> int:
    fixed = describer.fixed_batch_size
    if fixed and loading.batch_size != fixed:
        report.notice(f"The model takes {fixed} pictures at a time, so batch_size {loading.batch_size} is not used.")
    return fixed or loading.batch_size


def _end(total: int, written: int, writer: Writer, report: Report) -> None:
    if written:
        writer.finish(report)
    left = total - written - report.failed
    text = f"Done: {written:,} of {total:,} pictures described."
    if left:
        text = f"Stopped as asked: {written:,} of {total:,} pictures described, {left:,} not reached."
    report.summary(text, described=written, total=total)
    if left:
        report.emit(events.Stopped(sentence=text))
    elif not written and not report.counts["kept"]:
        raise NothingUsable(f"None of the {total:,} pictures could be described; the reasons stand above.")
