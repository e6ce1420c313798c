"""Sorts pictures into aspect-ratio buckets and writes their latents beside them."""

import sys
from pathlib import Path
from typing import Any

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.library.together import shared  # noqa: E402
from sd_scripts.options.latents import PrepareLatentsOptions  # noqa: E402


def work(options: PrepareLatentsOptions, report: Report) -> None:
    """Sizes, latents, metadata."""
    from sd_scripts.library.data.prepare_latents import prepare_latents

    prepare_latents(options, report, read_vae)


def read_vae(name_or_path: str, v2: bool) -> Any:
    """The model's VAE. Its module brings torch along, so it is imported when everything else has been checked."""
    from sd_scripts.library.models.paths import check_name

    check_name(name_or_path)
    from sd_scripts.library.models.vae import load_vae

    return load_vae(name_or_path, v2)


if __name__ == "__main__":
    run_program(PrepareLatentsOptions, shared(work))
