"""The one loop of all captioners and taggers: read ahead, describe in batches, write the text, go on."""

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sd_scripts.library import events
from sd_scripts.library.data.captions import UnreadableText, caption_path
from sd_scripts.library.data.images import UnreadableImage, find_images
from sd_scripts.library.data.read_ahead import batches, read_ahead
from sd_scripts.library.errors import BadFile, NothingUsable
from sd_scripts.library.io.atomic import write_text
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report
from sd_scripts.library.tagging.describer import Describer
from sd_scripts.options.common import LoadingOptions, PicturesOptions

if TYPE_CHECKING:
    import numpy as np


class Writer(Protocol):
    """Where the texts go."""

    def write(self, image: Path, result: Any) -> str:
        """Keeps what was seen in a picture, and gives its text.

        Errors, of this picture alone: BadFile, UnreadableText, UnreadableImage.
        """

    def finish(self, report: Report) -> None:
        """After the last picture, also when a stop was asked for. Errors: BadFile."""


class SentenceFiles:
    """A sentence a file, beside the pictures."""

    def __init__(self, extension: str) -> None:
        self._extension = extension

    def write(self, image: Path, result: str) -> str:
        """Errors: BadFile."""
        write_text(caption_path(image, self._extension), result + "\n")
        return result

    def finish(self, report: Report) -> None:
        """Every file is complete already."""


def pictures_with_room(pictures: PicturesOptions) -> list[Path]:
    """The pictures to describe, in folders that texts can be written to.

    Errors: BadOption, when there are none; BadFile, when a folder cannot be written to.
    """
    images = find_images(pictures.train_data_dir, pictures.recursive)
    for folder in sorted({image.parent for image in images}):
        check_room(folder)
    return images


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
    loading: LoadingOptions,
    report: Report,
    debug: bool = False,
) -> None:
    """Describes every picture and writes its text; pictures that fail are counted and listed, and the rest goes on.

    Of several processes each describes its share: pictures that would share a text fall to one of them.

    Ends early, with what is done kept, when a stop is asked for. Errors: NothingUsable, when not one picture worked.
    """
    own = report.team.share(images, lambda image: image.with_suffix(""))
    report.phase("describe", f"Describing {len(own):,} pictures", len(own))
    written = sum(report.team.gather(_describe_all(own, describer, writer, loading, report, debug)))
    report.gather_failures()
    _end(len(images), written, writer, report)


def _describe_all(
    images: list[Path], describer: Describer, writer: Writer, loading: LoadingOptions, report: Report, debug: bool
) -> int:
    """How many pictures have their text now."""
    written = 0
    size = _batch_size(describer, loading, report)
    prepared = read_ahead(_apart(images, report), describer.preparer(), loading.max_data_loader_n_workers)
    for group in batches(prepared, size, report.failed_item):
        written += _describe(group, describer, writer, report, debug)
        report.progress(written + report.failed, len(images))
        if report.stop_asked():
            break
    return written


def _apart(images: list[Path], report: Report) -> list[Path]:
    """Leaves out a.jpg beside a.png: both would write into one file."""
    owners: dict[Path, Path] = {}
    for image in images:
        owner = owners.setdefault(image.with_suffix(""), image)
        if owner != image:
            report.failed_item(image, f"its text would overwrite that of {owner.name}; rename one of them")
    return list(owners.values())


def _batch_size(describer: Describer, loading: LoadingOptions, report: Report) -> int:
    fixed = describer.fixed_batch_size
    if fixed and loading.batch_size != fixed:
        report.notice(f"The model takes {fixed} pictures at a time, so batch_size {loading.batch_size} is not used.")
    return fixed or loading.batch_size


def _describe(
    group: list[tuple[Path, "np.ndarray"]], describer: Describer, writer: Writer, report: Report, debug: bool
) -> int:
    """How many of a batch's pictures have their text now."""
    import numpy as np

    paths = [path for path, _ in group]
    # A model of a fixed batch size gets a short batch filled up with its last picture.
    filled = [image for _, image in group] + [group[-1][1]] * ((describer.fixed_batch_size or 0) - len(group))
    return sum(
        _write(path, result, writer, report, debug)
        for path, result in zip(paths, describer.describe(np.stack(filled), paths), strict=True)
    )


def _write(path: Path, result: Any, writer: Writer, report: Report, debug: bool) -> bool:
    try:
        text = patiently(report, path, lambda: writer.write(path, result))
    except (BadFile, UnreadableText, UnreadableImage) as error:
        report.failed_item(path, str(error))
        return False
    if debug:
        report.say(f"{path}: {text}")
    return True


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
    elif not written:
        raise NothingUsable(f"None of the {total:,} pictures could be described; the reasons stand above.")
