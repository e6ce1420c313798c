"""Copies pictures and their texts into folders by their buckets."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.picture_tools import GroupImagesOptions  # noqa: E402


def work(options: GroupImagesOptions, report: Report) -> None:
    """Finds the buckets and copies."""
    from sd_scripts.library.data.grouping import group_images

    group_images(options, report)


if __name__ == "__main__":
    run_program(GroupImagesOptions, work)
