"""Trains a network (LoRA) beside a Stable Diffusion model on pictures and their metadata."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.train_network import TrainNetworkOptions  # noqa: E402


def work(options: TrainNetworkOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.checks.data import check_data
    from sd_scripts.library.train.checks.training import check_names, check_training
    from sd_scripts.library.train.network_rules import check_network

    report.use_console(options.console)
    if options.data.debug_dataset:
        check_data(options)
        from sd_scripts.library.train.preview import show_dataset

        show_dataset(options, report)
    else:
        check_network(options)
        check_training(options)
        check_names(options.model, options.text)
        train(options, report)


def train(options: TrainNetworkOptions, report: Report) -> None:
    """Loads the model and the data, and trains."""
    from sd_scripts.library.train.assembly import train_network

    train_network(options, report)


if __name__ == "__main__":
    run_program(TrainNetworkOptions, work)
