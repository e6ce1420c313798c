"""Sorts pictures into aspect-ratio buckets and writes their latents beside them."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.latents import PrepareLatentsOptions  # noqa: E402


def work(options: PrepareLatentsOptions, report: Report) -> None:
    """The heavy imports come after the command line has been read."""
    from sd_scripts.library.data.prepare import prepare_latents
    from sd_scripts.library.models.vae import load_vae

    prepare_latents(options, report, load_vae)


if __name__ == "__main__":
    run_program(PrepareLatentsOptions, work)
