"""Trains a hypernetwork beside a Stable Diffusion model on pictures and their texts."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions  # noqa: E402


def work(options: TrainHypernetworkOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.hypernetwork_rules import check_hypernetwork
    from sd_scripts.library.train.script import ready_to_train

    if ready_to_train(options, report, check_hypernetwork):
        from sd_scripts.library.train.assembly import train_hypernetwork

        train_hypernetwork(options, report)


if __name__ == "__main__":
    run_program(TrainHypernetworkOptions, work)
