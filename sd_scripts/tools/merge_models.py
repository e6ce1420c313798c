"""Merges whole models into one."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.model_tools import MergeModelsOptions  # noqa: E402


def work(options: MergeModelsOptions, report: Report) -> None:
    """Merges tensor by tensor."""
    from sd_scripts.library.models.merging import merge_models

    merge_models(options, report)


if __name__ == "__main__":
    run_program(MergeModelsOptions, work)
