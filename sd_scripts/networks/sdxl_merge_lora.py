"""Merges LoRAs into an SDXL model, or into one LoRA."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.network_tools import SdxlMergeLoraOptions  # noqa: E402


def work(options: SdxlMergeLoraOptions, report: Report) -> None:
    """Checks what is asked, then merges."""
    from sd_scripts.library.networks.merge_tasks import MergeTask, merge

    task = MergeTask(options.files, sdxl=True, lbws=options.blocks.lbws)
    merge(task, options.into.sd_model, options.join, not options.spec.no_metadata, report)


if __name__ == "__main__":
    run_program(SdxlMergeLoraOptions, work)
