"""Converts a model between .safetensors, .ckpt and diffusers' form."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.model_tools import ConvertOptions  # noqa: E402


def work(options: ConvertOptions, report: Report) -> None:
    """Reads the model and writes it."""
    from sd_scripts.library.models.conversion import convert

    convert(options, report)


if __name__ == "__main__":
    run_program(ConvertOptions, work)
