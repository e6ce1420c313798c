"""A training step beside the bare loop: forward, backward, clipping, optimizer and zero_grad on ready tensors.

Both take their steps in turn, on one copy of the model with one optimizer. Where pictures are read and encoded in the
loop, CPU seconds are compared with the sum of what is necessary. On a small model the time beside the bare step shows
by itself: that is what counts on a GPU, where a step may take 60 ms.
"""

import statistics
import sys
import time
import warnings
from collections.abc import Callable
from functools import partial
from itertools import product

import torch

from benchmarks.alternating import alternating
from benchmarks.models import Family, Size
from benchmarks.rows import Given, Row, at_most, stage
from benchmarks.step_cases import EVENTS, Case, Reading, Step, Turns, Way, turns
from sd_scripts.library.events import STEP_PARTS, Metric, from_line

MOST = 1.03
MOST_OWN_MS = 1.0
PAIRS = 4
"""Pairs of steps a round."""
TOLD_STEPS = 10
GPU_STEPS = 10
"""Steps between two looks at the clock, where the host may run ahead of the device."""


def measure(given: Given) -> list[Row]:
    """All figures."""
    size: Size = "true" if given.device == "cuda" else "tiny" if given.quick else "reduced"
    families: list[Family] = ["sd1"] if given.quick else ["sd1", "sdxl"]
    ways: list[Way] = ["full", "lora"]
    rows: list[Row] = []
    for family, way in product(families, ways):
        rows += kept(Case(family, way, size=size), given)
        if not given.quick:
            rows += [encoding(Case(family, way, "frozen", size=size), given)]
            rows += [encoding(Case(family, way, "trained", size=size), given)]
        rows.append(reading(Case(family, way, pictures=True, size=size), given))
    if given.device == "cpu":
        rows += [own_time(Case("sd1", way, size="tiny"), given) for way in ways]
    return rows


def kept(case: Case, given: Given) -> list[Row]:
    """A step with everything kept, the parts of it as the trainer tells them, and on a GPU what there is to see."""
    with turns(case, given) as turn:
        row = beside(str(case), turn.ours, turn.bare, given)
        parts = [Row(f"... of it {part[:-2]}", "ms", value_s * 1000) for part, value_s in told_s(given).items()]
        return [row, *parts, *(on_gpu(turn, given) if given.device == "cuda" else [])]


def encoding(case: Case, given: Given) -> Row:
    """A step that encodes its texts."""
    with turns(case, given) as turn:
        return beside(str(case), turn.ours, turn.bare, given)


def beside(what: str, ours: Step, bare: Step, given: Given) -> Row:
    """A step by the clock, beside the bare one."""
    own_s, bare_s, ratio = alternating(clocked(ours, given), clocked(bare, given), PAIRS * given.rounds)
    return Row(what, "ms", own_s * 1000, bare_s * 1000, at_most(MOST), measured_ratio=ratio)


def reading(case: Case, given: Given) -> Row:
    """CPU seconds of a step that reads and encodes its pictures, beside the sum of its parts."""
    # Read by the loop itself: what others read ahead would count while the bare loop works.
    with turns(case, given, max_data_loader_n_workers=0) as turn:
        read = Reading(turn.trainer, case.side_px)

        def parts() -> None:
            read.step()
            turn.bare()

        both = (partial(timed, step, time.process_time) for step in (turn.ours, parts))
        own_s, parts_s, ratio = alternating(*both, PAIRS * given.rounds)
    return Row(f"{case}: CPU", "ms", own_s * 1000, parts_s * 1000, at_most(MOST), measured_ratio=ratio)


def own_time(case: Case, given: Given) -> Row:
    """What the thread of the loop works beside the bare step, on a model so small that it shows."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    differences: list[float] = []
    with turns(case, given) as turn:
        for number in range(5 * PAIRS * given.rounds):
            both = (turn.ours, turn.bare) if number % 2 else (turn.bare, turn.ours)
            took = {step: timed(step, time.thread_time) for step in both}
            differences.append(took[turn.ours] - took[turn.bare])
    torch.set_num_threads(threads)
    own_ms = statistics.median(differences) * 1000
    return Row(f"the loop's own time in a step ({case})", "ms", own_ms, goal=at_most(MOST_OWN_MS, of="value"))


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


def clocked(step: Step, given: Given) -> Callable[[], float]:
    """Seconds of a step, with all that it has the device do."""

    def clock() -> float:
        if given.device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter()

    return partial(timed, step, clock)


def timed(step: Step, clock: Callable[[], float]) -> float:
    """What a step takes by a clock."""
    began = clock()
    step()
    return clock() - began


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
