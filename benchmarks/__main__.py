"""All stages beside the bare computation, one after the other: `python -m benchmarks --help`.

Each is a program of its own as well: `python -m benchmarks.step`. The exit code is 1 where a goal is missed.
"""

import json
import sys
import time
from typing import Any

from benchmarks.rows import ONLY_TRIED, arguments, need_gpu
from benchmarks.stopping import OF_A_STAGE_S, REPOSITORY, room, started, stoppable, within_another
from sd_scripts.library.io.atomic import write_json

STAGES: list[str] = [
    "start",
    "latents",
    "tagging",
    "metadata",
    "step",
    "faster",
    "memory",
    "several",
    "saving",
    "sampling",
]
"""The stages, in the order in which a picture meets them."""

LONG = ["published", "presets"]
"""What takes a CPU the better part of an hour: only where it is named."""


def main() -> int:
    """Runs the stages that were asked for, and writes all their figures into one file."""
    parser = arguments(__doc__)
    parser.add_argument("stages", nargs="*", help=f"some of: {', '.join(STAGES)} (default: all); {', '.join(LONG)}")
    options = parser.parse_args()
    for name in options.stages:
        if name not in STAGES + LONG:
            parser.error(f'"{name}" is no stage. Use some of: {", ".join(STAGES + LONG)}.')
    if options.device == "cuda":
        need_gpu()
    results: dict[str, Any] = {}
    missed = []
    for name in options.stages or STAGES:
        print(f"\n## {name}\n", flush=True)
        began = time.monotonic()
        code, results[name] = run(name, options)
        missed += [name] if code else []
        print(f"\n{name}: {time.monotonic() - began:.0f} s", flush=True)
        if options.json:
            # Each time: whoever ends it early keeps what there is.
            write_json(options.json, results)
    print(_in_the_end(missed, options.quick))
    return int(bool(missed))


def _in_the_end(missed: list[str], quick: bool) -> str:
    if quick:
        return f"Trouble in: {', '.join(missed)}." if missed else ONLY_TRIED
    return f"Goals missed, or trouble, in: {', '.join(missed)}." if missed else "All goals hold."


def run(name: str, options: Any) -> tuple[int, Any]:
    """Exit code and figures of a stage, which prints for itself; None where it came to none."""
    with room() as folder:
        figures = folder / "figures.json"
        argv = ["-m", f"benchmarks.{name}", "--json", str(figures)]
        argv += ["--device", options.device, "--rounds", str(options.rounds)]
        argv += ["--quick"] * options.quick + (["--room", str(options.room)] if options.room else [])
        with started(argv, REPOSITORY, within_another(), OF_A_STAGE_S) as stage:
            code = stage.wait()
        return code, json.loads(figures.read_bytes()) if figures.exists() else None


if __name__ == "__main__":
    sys.exit(stoppable(main))
