"""Trains a network (LoRA) beside an SDXL model on pictures."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.sdxl_train_network import SdxlTrainNetworkOptions  # noqa: E402


def work(options: SdxlTrainNetworkOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.network_rules import check_network
    from sd_scripts.library.train.script import ready_to_train

    if ready_to_train(options, report, check_network):
        from sd_scripts.library.train.assembly import sdxl_train_network

        sdxl_train_network(options, report)


if __name__ == "__main__":
    run_program(SdxlTrainNetworkOptions, work)
