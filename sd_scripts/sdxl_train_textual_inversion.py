"""Teaches an SDXL model a new word (textual inversion)."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[1])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.sdxl_train_textual_inversion import SdxlTrainTextualInversionOptions  # noqa: E402


def work(options: SdxlTrainTextualInversionOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.train.inversion_rules import check_inversion, name_files
    from sd_scripts.library.train.script import ready_to_train

    name_files(options)
    if ready_to_train(options, report, check_inversion):
        from sd_scripts.library.train.assembly import sdxl_train_textual_inversion

        sdxl_train_textual_inversion(options, report)


if __name__ == "__main__":
    run_program(SdxlTrainTextualInversionOptions, work)
