"""Adds a trigger word, a prefix or a suffix to the texts of pictures, or replaces in them."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.picture_tools import EditCaptionsOptions  # noqa: E402


def work(options: EditCaptionsOptions, report: Report) -> None:
    """Reads all texts first, then writes."""
    from sd_scripts.library.data.caption_edits import edit_captions

    edit_captions(options, report)


if __name__ == "__main__":
    run_program(EditCaptionsOptions, work)
