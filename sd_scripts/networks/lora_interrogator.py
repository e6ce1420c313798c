"""Lists the words to which a LoRA's text encoder answers most unlike the model's own."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.network_tools import LoraInterrogatorOptions  # noqa: E402


def work(options: LoraInterrogatorOptions, report: Report) -> None:
    """Asks about every word."""
    from sd_scripts.library.networks import tasks

    tasks.interrogate(options, report)


if __name__ == "__main__":
    run_program(LoraInterrogatorOptions, work)
