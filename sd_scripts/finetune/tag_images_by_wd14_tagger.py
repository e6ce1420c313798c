"""Writes tags beside every picture, with a WD14 tagger."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.tagging import TagByWd14Options  # noqa: E402


def work(options: TagByWd14Options, report: Report) -> None:
    """Finds the pictures, gets the tagger, tags every picture."""
    from sd_scripts.library.data.captions import checked_extension
    from sd_scripts.library.errors import BadOption
    from sd_scripts.library.tagging.folder import check_rooms, describe_pictures, pictures_to_describe
    from sd_scripts.library.tagging.late_texts import Writer
    from sd_scripts.library.tagging.tag_files import TagFiles, TagJson
    from sd_scripts.library.tagging.tag_text import read_replacements
    from sd_scripts.library.tagging.wd14 import Wd14Tagger, find_tagger

    text = options.text
    # Read here already, so that a mistake is said before anything is downloaded.
    read_replacements(text.tag_replacement or "")
    if text.append_tags and options.pictures.skip_described:
        sentence = "--append_tags adds to the texts that --skip_described leaves alone. Leave one of them out."
        raise BadOption("skip_described", sentence)
    writer: Writer
    if options.output.output_path:
        writer = TagJson(
            Path(options.output.output_path), text.caption_separator, text.append_tags, options.pictures.skip_described
        )
    else:
        writer = TagFiles(checked_extension(options.files.caption_extension), text.caption_separator, text.append_tags)
    images = pictures_to_describe(options.pictures, writer, report)
    if not images:
        return
    if not options.output.output_path:
        check_rooms(images)
    tagger = Wd14Tagger(find_tagger(options.model, report), options.thresholds, text, report)
    describe_pictures(images, tagger, writer, options.pictures, options.loading, report)
    if text.frequency_tags:
        tagger.say_counts(report)


if __name__ == "__main__":
    run_program(TagByWd14Options, work)
