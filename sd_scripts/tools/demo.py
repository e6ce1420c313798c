"""Runs the whole pipeline on the example project, from photographs to a trained checkpoint."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.example import DemoOptions  # noqa: E402


def work(options: DemoOptions, report: Report) -> None:
    """Runs every stage as a process of its own."""
    from sd_scripts.library.example.demo import run_demo

    run_demo(Path(options.folder), options.max_train_steps, report)


if __name__ == "__main__":
    run_program(DemoOptions, work)
