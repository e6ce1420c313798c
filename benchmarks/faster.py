"""What each way to train faster, or with less memory, gains and does to the loss.

Of each, two trainings of the same model take their steps in turn, one with it and one without, with the same seeds:
The loss of each step is compared, and the most memory that a step takes.
On a CPU one thread computes.
"""

import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch._inductor.exc import InductorError

from benchmarks.alternating import alternating
from benchmarks.models import Size
from benchmarks.rows import Given, Row, stage
from benchmarks.trainings import UNITS, Plan, Training, begin_anew, differences
from sd_scripts.library.train.compiling import compiled_and_asked

WARM_STEPS = 2
MOST_ON_CPU = 3
"""Rounds on a CPU, where a step takes a second."""
_BF16 = {"mixed_precision": "bf16"}
_FULL_BF16 = {**_BF16, "full_bf16": True}
_CHECKPOINTS = {"gradient_checkpointing": True}
_GROUPS = "fused_optimizer_groups"


@dataclass(frozen=True)
class Switch:
    """Options that make it faster or smaller, beside those `without` it.

    `sizes`: over how many sizes of pictures. `beside`: a LoRA is trained beside the model, on pictures of twice the
    side: most of the memory is what is kept for the backward pass.
    """

    what: str
    values: dict[str, Any]
    without: dict[str, Any] = field(default_factory=dict)
    sizes: int = 1
    beside: bool = False
    keeps_texts: bool = True
    only_cuda: bool = False


def adamw(way: str) -> dict[str, Any]:
    """AdamW over one weight after the other, or as `way` says."""
    return {"optimizer_args": [f"fused={way == 'fused'}", f"foreach={way == 'foreach'}"]}


SWITCHES = [
    Switch("SDPA, beside attention in slices", {"sdpa": True}, {"mem_eff_attn": True}, beside=True),
    Switch("xformers, beside SDPA", {"xformers": True}, {"sdpa": True}, beside=True, only_cuda=True),
    Switch("channels last (opt_channels_last)", {"opt_channels_last": True}),
    Switch("AdamW fused (what is used), beside one by one", adamw("fused"), adamw("one by one")),
    Switch("AdamW foreach, beside one by one", adamw("foreach"), adamw("one by one")),
    Switch("encoded captions are kept", {}, keeps_texts=False),
    Switch("torch_compile, one code for all sizes", {"torch_compile": True}, sizes=3),
    Switch("torch_compile, compile_dynamic false", {"torch_compile": True, "compile_dynamic": "false"}, sizes=3),
    Switch(
        "CUDA graphs (compile_mode reduce-overhead)",
        {"torch_compile": True, "compile_dynamic": "false", "compile_mode": "reduce-overhead"},
        only_cuda=True,
    ),
    Switch("gradient_checkpointing", _CHECKPOINTS, beside=True),
    Switch("gradient_checkpointing_levels 2", {**_CHECKPOINTS, "gradient_checkpointing_levels": 2}, beside=True),
    Switch("gradient_checkpointing_levels 1", {**_CHECKPOINTS, "gradient_checkpointing_levels": 1}, beside=True),
    Switch("full_bf16, beside mixed_precision bf16", _FULL_BF16, _BF16),
    Switch("full_bf16 with stochastic_rounding, beside it", {**_FULL_BF16, "stochastic_rounding": True}, _BF16),
    Switch("fused_backward_pass", {"fused_backward_pass": True}),
    Switch(f"{_GROUPS} 10", {_GROUPS: 10}),
]
QUICK = ("channels last (opt_channels_last)", "gradient_checkpointing_levels 1")


def measure(given: Given) -> list[Row]:
    """Two rows for each switch: seconds, with what becomes of the loss, and memory. On a CPU, of one thread."""
    threads = torch.get_num_threads()
    if given.device == "cpu":
        torch.set_num_threads(1)
    try:
        return [row for switch in chosen(given) for row in rows_of(switch, given)]
    finally:
        torch.set_num_threads(threads)


def chosen(given: Given) -> Iterator[Switch]:
    """Those that can be measured here."""
    for switch in SWITCHES:
        here = given.device == "cuda" or not switch.only_cuda
        if here and (not given.quick or switch.what in QUICK) and _installed(switch):
            yield switch


def rows_of(switch: Switch, given: Given) -> list[Row]:
    """Seconds and memory, with it and without."""
    begin_anew()
    base = _plan(switch, given)
    bare = Training(replace(base, values=tuple(switch.without.items()), keep_texts=switch.keeps_texts), given)
    ours = Training(replace(base, values=tuple(switch.values.items())), given)
    began = time.perf_counter()
    try:
        for _ in range(max(WARM_STEPS, switch.sizes)):
            bare.step()
            ours.step()
    except InductorError as error:
        return [Row(switch.what, UNITS[given.device], None, note=f"PyTorch's compiler fails: {error}"[:200])]
    warm_s = time.perf_counter() - began
    rounds = given.rounds if given.device == "cuda" else min(given.rounds, MOST_ON_CPU)
    own_s, bare_s, ratio = alternating(ours.step, bare.step, rounds)
    largest, mean = differences(ours.losses, bare.losses)
    # That of the same weights tells other arithmetic from steps that drift apart.
    first, _ = differences(ours.losses[:1], bare.losses[:1])
    note = f"loss differs by {first:.1e} in the first step, at most {largest:.1e}, {mean:.1e} on average"
    note += f", in {len(ours.losses)} steps"
    if switch.values.get("torch_compile"):
        note += f"; compiled {compiled_and_asked()[0]} times for {switch.sizes} sizes, with {warm_s:.0f} s of waiting"
    peaks = (ours.peak_bytes() / 1e6, bare.peak_bytes() / 1e6)
    return [
        Row(switch.what, UNITS[given.device], own_s, bare_s, note=note, measured_ratio=ratio),
        Row("... peak memory", "MB", *peaks),
    ]


def _plan(switch: Switch, given: Given) -> Plan:
    size: Size = "true" if given.device == "cuda" else "tiny" if given.quick else "reduced"
    side_px = {"true": 512, "reduced": 128, "tiny": 64}[size] * (2 if switch.beside and not given.quick else 1)
    shapes = ((side_px, side_px), (side_px * 3 // 4, side_px), (side_px, side_px * 3 // 4))
    return Plan("sd1", "lora" if switch.beside else "full", size, shapes[: switch.sizes])


def _installed(switch: Switch) -> bool:
    from importlib.util import find_spec

    return "xformers" not in switch.values or find_spec("xformers") is not None


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__, ("with", "without")))
