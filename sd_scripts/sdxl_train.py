"""Trains a whole SDXL model on pictures and their metadata."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.sdxl_train import SdxlTrainOptions  # noqa: E402


def work(options: SdxlTrainOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.checks.data import check_data, check_texts_frozen
    from sd_scripts.library.train.checks.machine import check_frozen
    from sd_scripts.library.train.checks.training import check_names, check_training

    report.use_console(options.console)
    if options.data.debug_dataset:
        check_data(options)
        show(options, report)
        return
    check_training(options)
    check_texts_frozen(options.text_cache, options.method)
    check_frozen(options.precision, options.method.frozen_texts)
    check_names(options.model, options.text)
    train(options, report)


def show(options: SdxlTrainOptions, report: Report) -> None:
    """Shows what would be trained."""
    from sd_scripts.library.train.preview import show_dataset

    show_dataset(options, report)


def train(options: SdxlTrainOptions, report: Report) -> None:
    """Loads the model and the data, and trains."""
    from sd_scripts.library.train.assembly import sdxl_train

    sdxl_train(options, report)


if __name__ == "__main__":
    run_program(SdxlTrainOptions, work)
