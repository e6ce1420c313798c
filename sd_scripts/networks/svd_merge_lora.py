"""Merges LoRAs into one of a rank that is chosen, as near to their sum as that rank allows."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.network_tools import SvdMergeLoraOptions  # noqa: E402


def work(options: SvdMergeLoraOptions, report: Report) -> None:
    """Checks what is asked, then merges."""
    from sd_scripts.library.networks.merge_tasks import MergeTask

    MergeTask(options.files, sdxl=None, lbws=options.blocks.lbws).approximate(options, report)


if __name__ == "__main__":
    run_program(SvdMergeLoraOptions, work)
