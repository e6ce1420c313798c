"""The presets that name a GPU's memory: what the page expects of them beside the measured peak, at the true size.

Models and pictures have the size that a preset is for, and weights as they are published, in fp16. On a GPU the peak is
torch.cuda.max_memory_allocated. On a CPU it is the most that tensors take at once, and bf16 stands for fp16, which has
as many bytes: CPUs are not trained on in fp16. What does not fit into the RAM there is not measured.

A CPU takes minutes for a step of SDXL: this is no stage unless it is named.
"""

import json
import re
import shlex
import sys
from collections.abc import Iterator

import torch

from benchmarks.memory import GB, Room
from benchmarks.models import Size
from benchmarks.rows import Given, Row, stage
from benchmarks.stopping import REPOSITORY
from kohya_gui.stages import STAGES
from sd_scripts.library.ram import free_ram_bytes
from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.values import to_argv

PRESETS = REPOSITORY / "presets"
NAMED = re.compile(r"About [\d.]+ GB")
USUAL_PX = 512
"""Of presets that leave the size to the user."""

BESIDES_BYTES = 3.0e9
"""What a process takes besides its tensors, with the profiler that counts them."""

ON_CPU = {"fp16": "bf16", "--full_fp16": "--full_bf16"}
"""Words of a preset, and what they are on a CPU."""


def measure(given: Given) -> list[Row]:
    """A row for each preset: what was expected, what was measured, and their ratio."""
    size: Size = "tiny" if given.quick else "true"
    room = Room(given.room, size, USUAL_PX, given.device, torch.float16)
    # Those of SD1.5 first: who ends it early has seen most of them.
    lines = sorted(of_presets(given.device), key=lambda named: named[1].split()[1])
    if given.quick:
        lines = [(name, f"{line} --resolution 64") for name, line in lines[:1]]
    return [told(room, name, line) for name, line in lines]


def told(room: Room, name: str, line: str) -> Row:
    """A preset's row, printed at once, as the next may take long; without a measured figure where RAM is too small."""
    ours, _ = room.expected(line)
    row = Row(name, "GB", ours / GB, note="more than this machine's RAM")
    if room.device != "cpu" or ours + BESIDES_BYTES < free_ram_bytes():
        row = room.row(line, room.measured(line), name)
    measured = f"{row.bare:.2f} GB measured" if row.bare is not None else "not measured"
    print(f"{name}: {ours / GB:.2f} GB expected, {measured}", file=sys.stderr, flush=True)
    return row


def of_presets(device: str) -> Iterator[tuple[str, str]]:
    """(the preset, its script, family and options in a line)."""
    for file in sorted(PRESETS.glob("*/*.json")):
        given, place = json.loads(file.read_text(encoding="utf-8")), STAGES[file.parent.name]
        if not NAMED.search(given["description"]):
            continue
        family = "sdxl" if place.family == "sdxl" else "sd1"
        words = to_argv(SCRIPTS[place.script], place.usual | given["values"])
        if device == "cpu":
            words = [ON_CPU.get(word, word) for word in words]
        yield f"{file.parent.name}/{file.stem}", shlex.join([place.script, family, *words])


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__, ("expected", "measured")))
