"""Cleans the captions and tags of a metadata file by rules."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.metadata import CleanOptions  # noqa: E402


def work(options: CleanOptions, report: Report) -> None:
    """Cleans every entry; older commands name the folder of pictures before the two files."""
    from sd_scripts.library.tagging.clean_metadata import clean_metadata

    in_json, out_json = options.in_json, options.out_json
    if options.third_file:
        report.notice("The folder of pictures is not needed any more: the whole metadata file is cleaned.")
        in_json, out_json = options.out_json, options.third_file
    clean_metadata(in_json, out_json, options.rules, options.debug, report)


if __name__ == "__main__":
    run_program(CleanOptions, work)
