"""Finds repeats with which every concept of a dataset weighs alike."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.picture_tools import BalanceOptions  # noqa: E402


def work(options: BalanceOptions, report: Report) -> None:
    """Counts, tells, and copies if asked."""
    from sd_scripts.library.data.balancing import balance

    balance(options, report)


if __name__ == "__main__":
    run_program(BalanceOptions, work)
