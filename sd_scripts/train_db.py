"""Trains a whole Stable Diffusion model on pictures in folders (DreamBooth), with its text encoder."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.train_db import TrainDbOptions  # noqa: E402


def work(options: TrainDbOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.checks.whole import check_whole
    from sd_scripts.library.train.script import ready_to_train

    if ready_to_train(options, report, check_whole):
        from sd_scripts.library.train.assembly import fine_tune

        fine_tune(options, report)


if __name__ == "__main__":
    run_program(TrainDbOptions, work)
