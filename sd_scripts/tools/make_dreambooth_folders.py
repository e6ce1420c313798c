"""Makes the folders that DreamBooth and LoRA trainings read, and copies pictures into them."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.picture_tools import MakeFoldersOptions  # noqa: E402


def work(options: MakeFoldersOptions, report: Report) -> None:
    """Plans, checks and copies."""
    from sd_scripts.library.data.dreambooth_folders import make_folders

    make_folders(options, report)


if __name__ == "__main__":
    run_program(MakeFoldersOptions, work)
