"""The most memory that a training's tensors take at once on a CPU: what torch.cuda.max_memory_allocated is on a GPU.

Run as a program it is tools/try_steps.py's twin: `python -m benchmarks.tensors SCRIPT RESULT OPTION ...`.
"""

import gc
import json
import math
import sys
import time
from pathlib import Path
from typing import Any

import torch
from torch.profiler import ProfilerActivity, profile

from sd_scripts.library.events import Event, Metric
from sd_scripts.library.train import trial
from sd_scripts.options.cli import parse
from sd_scripts.options.scripts import SCRIPTS

STEPS = 1


class TensorCounter(trial.StepCounter):
    """Ends the training as its kin does, and looks at the tensors after the first step and at the end."""

    def __init__(self, steps: int) -> None:
        super().__init__(steps)
        self.looks_ns: list[int] = []
        self.held_bytes = 0

    def emit(self, event: Event) -> None:
        """Takes the figures of a step."""
        if isinstance(event, Metric):
            self.looks_ns.append(time.time_ns())
            self.held_bytes = bytes_of_tensors()
        super().emit(event)


def bytes_of_tensors() -> int:
    """Of all tensors that live, each memory counted once."""
    gc.collect()
    memories = {}
    for one in gc.get_objects():
        if issubclass(type(one), torch.Tensor) and one.device.type == "cpu":
            storage = one.untyped_storage()
            memories[storage.data_ptr()] = storage.nbytes()
    return sum(memories.values())


def most_and_last(watched: profile, first_ns: float = 0.0, last_ns: float = math.inf) -> tuple[int, int]:
    """The most bytes that were asked for and not yet given back from one moment to another, and those at its end."""
    assert watched.profiler is not None and watched.profiler.kineto_results is not None
    events = [event for event in watched.profiler.kineto_results.events() if event.name() == "[memory]"]
    live = most = at_last = 0
    for event in sorted(events, key=lambda event: event.start_ns()):
        live += event.nbytes()
        if event.start_ns() <= last_ns:
            most, at_last = max(most, live) if event.start_ns() >= first_ns else most, live
    return most, at_last


def main(script: str, result: str, words: list[str]) -> None:
    """Writes the most bytes of tensors."""
    options: Any = parse(SCRIPTS[script], words, script)
    report = TensorCounter(STEPS)
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as watched:
        trial.try_steps(script, options, STEPS, str(Path(result).parent), report)
    most, at_last = most_and_last(watched, report.looks_ns[0], report.looks_ns[-1])
    # Weights that are mapped from their file were not allocated.
    told = {"tensors": most + report.held_bytes - at_last}
    Path(result).write_text(json.dumps(told), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3:])
