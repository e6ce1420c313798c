"""Writes tags beside every picture, with a DeepDanbooru project; needs no TensorFlow."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.tagging import TagByDeepDanbooruOptions  # noqa: E402


def work(options: TagByDeepDanbooruOptions, report: Report) -> None:
    """Finds the project and the pictures, tags every picture."""
    from sd_scripts.library.data.captions import checked_extension
    from sd_scripts.library.tagging.deepdanbooru import DeepDanbooru, find_project
    from sd_scripts.library.tagging.folder import check_rooms, describe_pictures, pictures_to_describe
    from sd_scripts.library.tagging.tag_files import TagFiles

    writer = TagFiles(checked_extension(options.deepdanbooru.caption_extension))
    project = find_project(options.deepdanbooru)
    images = pictures_to_describe(options.pictures, writer, report)
    if not images:
        return
    check_rooms(images)
    tagger = DeepDanbooru(project, options.deepdanbooru.threshold, report)
    describe_pictures(images, tagger, writer, options.pictures, options.loading, report)


if __name__ == "__main__":
    run_program(TagByDeepDanbooruOptions, work)
