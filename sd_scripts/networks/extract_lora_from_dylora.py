"""Takes a LoRA of each rank out of a DyLoRA."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.network_tools import SplitDyloraOptions  # noqa: E402


def work(options: SplitDyloraOptions, report: Report) -> None:
    """Takes it apart."""
    from sd_scripts.library.networks import tasks

    tasks.split_dylora(options, report)


if __name__ == "__main__":
    run_program(SplitDyloraOptions, work)
