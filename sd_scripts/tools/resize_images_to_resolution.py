"""Writes copies of pictures, scaled down to one or more sizes."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.picture_tools import ResizeImagesOptions  # noqa: E402


def work(options: ResizeImagesOptions, report: Report) -> None:
    """Scales what can be read."""
    from sd_scripts.library.data.resizing import resize_images

    resize_images(options, report)


if __name__ == "__main__":
    run_program(ResizeImagesOptions, work)
