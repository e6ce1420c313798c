"""Makes the latents of a training before it, in files beside the pictures."""

import sys
from pathlib import Path

# The repository's root in place of this folder, so that nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.cache_tools import CacheLatentsOptions  # noqa: E402


def work(options: CacheLatentsOptions, report: Report) -> None:
    """Checks first; the heavy imports come after that."""
    from sd_scripts.library.data.read_ahead import let_threads_sleep
    from sd_scripts.library.train.checks.cache_files import for_latents
    from sd_scripts.library.train.script import only_shown

    report.use_console(options.console)
    training = for_latents(options)
    if only_shown(training, report):
        return
    let_threads_sleep()
    from sd_scripts.library.train.cache_files import make_latents

    make_latents(options.model, training, report)


if __name__ == "__main__":
    run_program(CacheLatentsOptions, work)
