"""Behaves like a training script without training anything: the worker's test double."""

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sd_scripts.library.errors import TrainingFailed
from sd_scripts.library.events import Metric, Stopped
from sd_scripts.library.program import run_program
from sd_scripts.library.report import Report


@dataclass(kw_only=True)
class FakeOptions:
    """What the fake trainer pretends."""

    steps: int = 3
    """Steps that it counts."""

    step_s: float = 0.02
    """Seconds that a step takes."""

    then: Literal["end", "fail", "die", "hang"] = "end"
    """How it goes on after the last step."""


def work(options: FakeOptions, report: Report) -> None:
    """Counts steps, with a falling loss; ends early when it is asked to."""
    report.phase("train", total=options.steps)
    for step in report.each(range(1, options.steps + 1), options.steps):
        time.sleep(options.step_s)
        report.emit(Metric(step=step, epoch=1, values={"loss": 1 / step, "lr": 1e-5}))
    if report.stop_asked():
        report.emit(Stopped(sentence="Stopped as asked."))
        return
    if options.then == "fail":
        raise TrainingFailed("The loss is not a number.")
    if options.then == "die":
        os._exit(7)
    while options.then == "hang":
        time.sleep(0.1)
    report.summary("Done.", steps=options.steps)


if __name__ == "__main__":
    run_program(FakeOptions, work)
