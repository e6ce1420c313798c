"""Merges a network of LyCORIS, or a LoRA, into a model."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.network_tools import MergeLycorisOptions  # noqa: E402


def work(options: MergeLycorisOptions, report: Report) -> None:
    """Merges it."""
    from sd_scripts.library.networks import merge_tasks

    merge_tasks.merge_lycoris(options, report)


if __name__ == "__main__":
    run_program(MergeLycorisOptions, work)
