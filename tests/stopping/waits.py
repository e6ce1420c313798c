"""A program that wants to write a file where there is no room, and does nothing else: for the page to watch."""

import errno
import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sd_scripts.library.pausing import Pause, tried  # noqa: E402
from sd_scripts.library.program import run_program  # noqa: E402
from sd_scripts.library.report import Report  # noqa: E402
from sd_scripts.options.metadata import CleanOptions  # noqa: E402

places = [Path(os.environ["FULL_FOLDER"])]


def write() -> None:
    if len(places) == 1:
        raise OSError(errno.ENOSPC, "No space left on device")
    (places[-1] / "X.safetensors").write_text("weights")


def work(options: CleanOptions, report: Report) -> None:
    report.phase("train", total=2)
    report.progress(1, 2)
    pause = Pause(report, move=places.append)
    pause.until_written(lambda: None, lambda: tried(places[-1] / "X.safetensors", write, 4_200_000_000))
    report.saved(places[-1] / "X.safetensors", "model", step=1, epoch=1)
    report.summary("Done.", steps=2)


if __name__ == "__main__":
    run_program(CleanOptions, work)
