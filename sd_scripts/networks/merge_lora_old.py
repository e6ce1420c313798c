"""Merges LoRAs as merge_lora.py does, with the fewer options that it had in the past."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.network_tools import JoinOptions, MergeLoraOldOptions  # noqa: E402


def work(options: MergeLoraOldOptions, report: Report) -> None:
    """Checks what is asked, then merges."""
    from sd_scripts.library.networks.merge_tasks import MergeTask, merge

    task = MergeTask(options.files, sdxl=False, v2=options.version.v2)
    merge(task, options.into.sd_model, JoinOptions(), True, report)


if __name__ == "__main__":
    run_program(MergeLoraOldOptions, work)
