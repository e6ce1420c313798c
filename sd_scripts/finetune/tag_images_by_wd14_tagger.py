"""Writes tags beside every picture, with a WD14 tagger."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.library.together import shared  # noqa: E402
from sd_scripts.options.tagging import TagByWd14Options  # noqa: E402


def work(options: TagByWd14Options, report: Report) -> None:
    """Finds the pictures, gets the tagger, tags every picture."""
    from sd_scripts.library.data.captions import checked_extension
    from sd_scripts.library.data.images import find_images
    from sd_scripts.library.tagging.folder import Writer, describe_pictures, pictures_with_room
    from sd_scripts.library.tagging.tag_files import TagFiles, TagJson
    from sd_scripts.library.tagging.tag_text import read_replacements
    from sd_scripts.library.tagging.wd14 import Wd14Tagger, find_tagger

    text = options.text
    # Read here already, so that a mistake is said before anything is downloaded.
    read_replacements(text.tag_replacement or "")
    writer: Writer
    if options.output.output_path:
        images = find_images(options.pictures.train_data_dir, options.pictures.recursive)
        writer = TagJson(Path(options.output.output_path), text.caption_separator, text.append_tags)
    else:
        writer = TagFiles(checked_extension(options.files.caption_extension), text.caption_separator, text.append_tags)
        images = pictures_with_room(options.pictures)
    tagger = Wd14Tagger(find_tagger(options.model, report), options.thresholds, text, report)
    describe_pictures(images, tagger, writer, options.loading, report, options.pictures.debug)
    if text.frequency_tags:
        tagger.say_counts(report)


if __name__ == "__main__":
    run_program(TagByWd14Options, shared(work))
