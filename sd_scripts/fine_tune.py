"""Trains a whole Stable Diffusion model on pictures and their metadata."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.fine_tune import FineTuneOptions  # noqa: E402


def work(options: FineTuneOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.checks.data import check_data
    from sd_scripts.library.train.checks.machine import check_frozen
    from sd_scripts.library.train.checks.training import check_names, check_training

    report.use_console(options.console)
    if options.data.debug_dataset:
        check_data(options)
        from sd_scripts.library.train.preview import show_dataset

        show_dataset(options, report)
        return
    check_training(options)
    check_frozen(options.precision, options.method.frozen_texts)
    check_names(options.model, options.text)
    train(options, report)


def train(options: FineTuneOptions, report: Report) -> None:
    """Loads the model and the data, and trains."""
    from sd_scripts.library.train.assembly import fine_tune

    fine_tune(options, report)


if __name__ == "__main__":
    run_program(FineTuneOptions, work)
