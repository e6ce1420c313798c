"""A training step beside the bare loop: forward, backward, clipping, optimizer and zero_grad on ready tensors.

Both take their steps in turn, on one copy of the model with one optimizer. Where pictures are read and encoded in the
loop, CPU seconds are compared with the sum of what is necessary. On a small model the time beside the bare step shows
by itself: that is what counts on a GPU, where a short step takes 60 ms.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from itertools import product

import torch

from benchmarks.alternating import alternating, in_turn
from benchmarks.models import Family, Size, Way
from benchmarks.rows import Given, Row, at_most, stage
from benchmarks.step_cases import EVENTS, Case, Reading, Step, Turns, turns
from sd_scripts.library.events import STEP_PARTS, Metric, from_line

MOST = 1.03
SHORT_STEP_MS = 60.0
PAIRS = 2
"""Pairs of steps a round."""
OWN_PAIRS = 20
"""So many times as many where they are short."""
TOLD_STEPS = 10
GPU_STEPS = 10
"""Steps between two looks at the clock, where the host may run ahead of the device."""


def measure(given: Given) -> list[Row]:
    """All figures."""
    if given.quick:
        lora = Case("sd1", "lora", size="tiny")
        return [*kept(lora, given), reading(replace(lora, pictures=True), given)]
    size: Size = "true" if given.device == "cuda" else "reduced"
    families: list[Family] = ["sd1", "sdxl"]
    ways: list[Way] = ["full", "lora"]
    rows: list[Row] = []
    for family, way in product(families, ways):
        case = Case(family, way, size=size)
        rows += kept(case, given)
        if given.device == "cpu" and family == "sdxl":
            # What differs between the families is in the step itself, and a CPU takes long for it.
            continue
        rows += [encoding(replace(case, texts="frozen"), given), encoding(replace(case, texts="trained"), given)]
        rows.append(reading(replace(case, pictures=True), given))
    small = ways if given.device == "cpu" else []
    return rows + [row for way in small for row in kept(Case("sd1", way, size="tiny"), given)]


def kept(case: Case, given: Given) -> list[Row]:
    """A step with everything kept, the parts of it as the trainer tells them, and what else there is to see."""
    with turns(case, given) as turn:
        row = beside(str(case), turn.ours, turn.bare, given)
        parts = [Row(f"... of it {part[:-2]}", "ms", value_s * 1000) for part, value_s in told_s(given).items()]
        if case.size == "tiny":
            # Nothing but the time beside the bare step is of interest here.
            return [replace(row, goal=None), *parts, own_time(turn, given)]
        return [row, *parts, *(on_gpu(turn, given) if given.device == "cuda" else [])]


def encoding(case: Case, given: Given) -> Row:
    """A step that encodes its texts."""
    with turns(case, given) as turn:
        return beside(str(case), turn.ours, turn.bare, given)


def beside(what: str, ours: Step, bare: Step, given: Given) -> Row:
    """A step by the clock, beside the bare one."""
    own, least = Clocked(ours, given), Clocked(bare, given)
    own_s, bare_s, ratio = alternating(own, least, pairs(given))
    cpu = statistics.median(one / other for one, other in zip(own.cpu_s, least.cpu_s, strict=True))
    note = f"CPU seconds {cpu:.2f}x"
    return Row(what, "ms", own_s * 1000, bare_s * 1000, at_most(MOST), note, measured_ratio=ratio)


def reading(case: Case, given: Given) -> Row:
    """CPU seconds of a step that reads and encodes its pictures, beside the sum of its parts."""
    # Read by the loop itself: what others read ahead would count while the bare loop works.
    with turns(case, given, max_data_loader_n_workers=0) as turn:
        read = Reading(turn.trainer, case.side_px)

        def parts() -> None:
            read.step()
            turn.bare()

        both = (partial(timed, step, time.process_time) for step in (turn.ours, parts))
        own_s, parts_s, ratio = alternating(*both, pairs(given))
    return Row(f"{case}: CPU", "ms", own_s * 1000, parts_s * 1000, at_most(MOST), measured_ratio=ratio)


def own_time(turn: Turns, given: Given) -> Row:
    """What the thread of the loop works beside the bare step, by the lower quartile of each."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    took: dict[Step, list[float]] = {turn.ours: [], turn.bare: []}
    for number in range(OWN_PAIRS * pairs(given)):
        for step in in_turn(number, turn.ours, turn.bare):
            took[step].append(timed(step, time.thread_time))
    torch.set_num_threads(threads)
    # Others' work only adds to a step, but the quickest of all may be quick by chance.
    own_s, bare_s = (statistics.quantiles(took[step], n=4)[0] for step in (turn.ours, turn.bare))
    left_ms = (MOST - 1) * SHORT_STEP_MS
    return Row(
        "... the loop's own time",
        "ms",
        (own_s - bare_s) * 1000,
        note=f"of {left_ms:.1f} ms, for {SHORT_STEP_MS:.0f} ms a step",
    )


def on_gpu(turn: Turns, given: Given) -> list[Row]:
    """Steps in a row, through which the host may run ahead; the most memory; and how often the host waits."""

    def many(step: Step) -> Step:
        return lambda: [step() for _ in range(GPU_STEPS)]

    row = beside(f"... {GPU_STEPS} of them in a row", many(turn.ours), many(turn.bare), given)
    peaks = []
    for step in (turn.ours, turn.bare):
        torch.cuda.reset_peak_memory_stats()
        step()
        peaks.append(torch.cuda.max_memory_allocated() / 1e9)
    waits = sum(host_waits(turn.ours) for _ in range(GPU_STEPS)) / GPU_STEPS
    none = at_most(0, of="value")
    return [row, Row("... peak memory", "GB", *peaks), Row("... waits of the host a step", "", waits, goal=none)]


def host_waits(step: Step) -> int:
    """How often the host waits for the device in a step, as torch counts it. Late figures are events, which it does
    not count: they are of the step before."""
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            step()
        finally:
            torch.cuda.set_sync_debug_mode("default")
    return sum("synchronizing" in str(one.message) for one in told)


def told_s(given: Given) -> dict[str, float]:
    """{part: seconds, the median of the last steps} as the training tells them to its file of events."""
    lines = (given.room / EVENTS).read_text(encoding="utf-8").splitlines()
    found = [event for _, event in filter(None, map(from_line, lines)) if isinstance(event, Metric)][-TOLD_STEPS:]
    return {part: statistics.median(event.values[part] for event in found) for part in STEP_PARTS}


def pairs(given: Given) -> int:
    """How many steps of each are taken."""
    return 2 if given.quick else PAIRS * given.rounds


class Clocked:
    """Seconds of a step by the clock, with all that it has the device do; and its CPU seconds, on all cores."""

    def __init__(self, step: Step, given: Given) -> None:
        self._step = step
        self._cuda = given.device == "cuda"
        self.cpu_s: list[float] = []

    def __call__(self) -> float:
        before_s = time.process_time()
        took_s = timed(self._step, self._now_s)
        self.cpu_s.append(time.process_time() - before_s)
        return took_s

    def _now_s(self) -> float:
        if self._cuda:
            torch.cuda.synchronize()
        return time.perf_counter()


def timed(step: Step, clock: Callable[[], float]) -> float:
    """What a step takes by a clock."""
    began = clock()
    step()
    return clock() - began


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
