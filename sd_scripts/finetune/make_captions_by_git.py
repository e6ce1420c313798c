"""Writes a sentence beside every picture, with GIT."""

import sys
from pathlib import Path

# The repository root in place of this folder: nothing is loaded under two names.
sys.path[0] = str(Path(__file__).resolve().parents[2])

from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.library.together import shared  # noqa: E402
from sd_scripts.options.captioning import MakeCaptionsByGitOptions  # noqa: E402


def work(options: MakeCaptionsByGitOptions, report: Report) -> None:
    """Finds the pictures, loads the model, describes every picture."""
    from sd_scripts.library.data.captions import checked_extension
    from sd_scripts.library.data.read_ahead import let_threads_sleep
    from sd_scripts.library.tagging.caption_models import find_git
    from sd_scripts.library.tagging.folder import SentenceFiles, check_rooms, describe_pictures, pictures_to_describe

    writer = SentenceFiles(checked_extension(options.git.caption_extension))
    images = pictures_to_describe(options.pictures, writer, report)
    if not images:
        return
    check_rooms(images)
    model = find_git(options.git.model_id)
    report.phase("load", f"Loading {options.git.model_id}")
    let_threads_sleep()
    from sd_scripts.library.tagging.git import Git, load_git

    git = Git(load_git(model), options.git)
    describe_pictures(images, git, writer, options.pictures, options.loading, report)


if __name__ == "__main__":
    run_program(MakeCaptionsByGitOptions, shared(work))
