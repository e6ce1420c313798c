"""Makes an example project: free photographs, and tiny untrained models of every kind that the stages need."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.example import MakeExampleOptions  # noqa: E402


def work(options: MakeExampleOptions, report: Report) -> None:
    """Makes what is not there yet."""
    from sd_scripts.library.example.project import make_example

    make_example(Path(options.folder), report)


if __name__ == "__main__":
    run_program(MakeExampleOptions, work)
