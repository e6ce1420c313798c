"""Extracts what a model has learnt since another as a LoRA."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.network_tools import ExtractLoraOptions  # noqa: E402


def work(options: ExtractLoraOptions, report: Report) -> None:
    """Extracts it."""
    from sd_scripts.library.networks import extract_tasks

    extract_tasks.extract(options, report)


if __name__ == "__main__":
    run_program(ExtractLoraOptions, work)
