"""Tries some real steps of a training: how long each takes, and how much memory. Nothing of it is kept.

try_steps.py train_network.py --steps 3 -- --pretrained_model_name_or_path model.safetensors ...
"""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.fit import TryOptions  # noqa: E402

# What stands after it is the training's own; run_program reads what stands before.
_OWN = sys.argv.index("--") if "--" in sys.argv else len(sys.argv)
TRAINING_WORDS = sys.argv[_OWN + 1 :]


def work(options: TryOptions, report: Report) -> None:
    """Tries the steps, and tells what they took."""
    from sd_scripts.library.train.trying import tell_steps

    report.asked.nothing_to_keep()
    tell_steps(options, TRAINING_WORDS)


if __name__ == "__main__":
    del sys.argv[_OWN:]
    run_program(TryOptions, work)
