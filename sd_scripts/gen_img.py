"""Draws pictures with a model and what was trained beside it, one by one or as a grid."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.gen_img import GenImgOptions  # noqa: E402


def work(options: GenImgOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.generate.checks import check_drawing

    report.use_console(options.console)
    check_drawing(options)
    draw(options, report)


def draw(options: GenImgOptions, report: Report) -> None:
    """Loads the model, or one after the other, and draws."""
    from sd_scripts.library.generate.drawing import generate

    generate(options, report)


if __name__ == "__main__":
    run_program(GenImgOptions, work)
