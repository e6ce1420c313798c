"""Collects the captions beside the pictures into one metadata file."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.metadata import MergeCaptionsOptions  # noqa: E402


def work(options: MergeCaptionsOptions, report: Report) -> None:
    """Merges the captions of one folder."""
    from sd_scripts.library.data.merging import merge_texts

    merge_texts(options.merge, options.files.caption_extension, "caption", report)


if __name__ == "__main__":
    run_program(MergeCaptionsOptions, work)
