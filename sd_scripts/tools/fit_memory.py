"""Finds the fastest settings of a training that fit into the memory, by real steps of it.

fit_memory.py --training train_network.py --memory_gb 8 --output fits.toml -- --pretrained_model_name_or_path ...
"""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.fit import FitOptions  # noqa: E402

# What stands after it is the training's own; run_program reads what stands before.
_OWN = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
TRAINING_WORDS = sys.argv[_OWN + 1 :]


def work(options: FitOptions, report: Report) -> None:
    """Reads the training's options, and tries them."""
    from sd_scripts.library.train.fitting import fit

    report.use_console(options.console)
    fit(options.search, TRAINING_WORDS, report)


if __name__ == "__main__":
    del sys.argv[_OWN:]
    run_program(FitOptions, work)
