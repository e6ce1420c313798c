"""Seconds a step and the most memory that it takes: SD1.5 and SDXL, whole models and LoRA, at 512, 768 and 1024 px.

Batches of one picture, latents and encoded captions kept, AdamW. On a GPU at true size, in bf16, weights in float32;
SDXL with gradient checkpointing, and whole with weights in bf16, rounded by lot. On a CPU a reduced model in float32.
It compares with nothing, and a CPU takes minutes for 1024 px: this is no stage unless it is named.
"""

import statistics
import sys
from itertools import product

from benchmarks.models import Family, Size, Way, named
from benchmarks.rows import Given, Row, stage
from benchmarks.trainings import UNITS, Plan, Training, begin_anew
from sd_scripts.library.shortage import is_out_of_memory

SIDES_PX = (512, 768, 1024)
WARM_STEPS = 1


def measure(given: Given) -> list[Row]:
    """Two rows for each model, way and size."""
    if given.quick:
        return rows_of(Plan("sd1", "lora", "tiny", ((64, 64),)), given)
    families: list[Family] = ["sd1", "sdxl"]
    ways: list[Way] = ["full", "lora"]
    size: Size = "true" if given.device == "cuda" else "reduced"
    plans = [
        Plan(family, way, size, ((side_px, side_px),), values_of(family, way, given))
        for family, way, side_px in product(families, ways, SIDES_PX)
    ]
    return [row for plan in plans for row in rows_of(plan, given)]


def values_of(family: Family, way: Way, given: Given) -> tuple[tuple[str, object], ...]:
    """What a GPU of 24 to 80 GB takes for the true size."""
    if given.device == "cpu" or family == "sd1":
        return ()
    halves = {"full_bf16": True, "stochastic_rounding": True} if way == "full" else {}
    return tuple({"gradient_checkpointing": True, **halves}.items())


def rows_of(plan: Plan, given: Given) -> list[Row]:
    """Seconds and memory of one training; none, but a row that says so, where its memory is not there."""
    begin_anew()
    side_px, _ = plan.sizes_px[0]
    what = f"{named(plan.family, plan.size)}, {plan.way}, {side_px} px"
    try:
        training = Training(plan, given)
        for _ in range(WARM_STEPS):
            training.step()
        step_s = statistics.median(training.step() for _ in range(given.rounds))
        peak_mb = training.peak_bytes() / 1e6
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return [Row(what, UNITS[given.device], None, note="does not fit into this machine's memory")]
    options = " ".join(f"--{name}" for name, _ in plan.values)
    return [Row(what, UNITS[given.device], step_s, note=options), Row("... peak memory", "MB", peak_mb)]


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
