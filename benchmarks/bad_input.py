"""Broken files by the hundred against every program that reads them: `python -m benchmarks.bad_input --help`.

At its end stand the counts: cases tried, crashes, losses, and what took too long or too much memory. The exit code
is 1 where there is any. For Linux: each case runs in a fork, with limits of the system.
"""

import argparse
import multiprocessing
import os
import shutil
import sys
import tempfile
import time
from itertools import islice
from pathlib import Path

for variable, value in {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1", "CUDA_VISIBLE_DEVICES": ""}.items():
    os.environ[variable] = value

from tests.bad_input import forks, matrix  # noqa: E402
from tests.bad_input.slots import Slot, add_more, slots_in  # noqa: E402


def main() -> int:
    """Makes the world, runs the cases in a few processes, and tells the counts."""
    given = _arguments()
    room = Path(tempfile.mkdtemp(prefix="bad_input_", dir=given.room))
    os.environ["BAD_INPUT_STORE"] = str(room)
    try:
        return _run(given, room)
    finally:
        shutil.rmtree(room)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0, help="another seed makes and orders other cases")
    parser.add_argument("--minutes", type=float, default=20, help="the most time for the cases")
    parser.add_argument("--programs", nargs="*", help="only programs whose path has one of these words in it")
    parser.add_argument("--only", help="only cases whose name has these words in it")
    parser.add_argument("--good", action="store_true", help="the good files alone: every program must take them")
    parser.add_argument("--jobs", type=int, default=2, help="processes")
    parser.add_argument("--world", type=Path, help="folder in which the good files are kept for the next time")
    parser.add_argument("--room", type=Path, help="where to work; the system's temporary folder else")
    parser.add_argument("--show", type=int, default=200, help="the most findings that are shown")
    return parser.parse_args()


def _run(given: argparse.Namespace, room: Path) -> int:
    world = given.world or room / "world"
    if not (world / "data.toml").exists():
        _make(world)
    slots = [s for s in slots_in(world) if not given.programs or any(word in s.script for word in given.programs)]
    _import_for(slots, world, room)
    began = time.monotonic()
    with multiprocessing.get_context("fork").Pool(given.jobs) as pool:
        parts = [(given, slots, world, room, part) for part in range(given.jobs)]
        results = pool.starmap(_part, parts, chunksize=1)
    found = sum((counts.found for counts in results), results[0].found.__class__())
    lines = sorted(line for counts in results for line in counts.lines)
    print("\n".join(lines[: given.show]))
    tried = sum(counts.tried for counts in results)
    codes = sum((counts.codes for counts in results), results[0].codes.__class__())
    print(f"{tried} cases of {len(slots)} places in {time.monotonic() - began:.0f} s, seed {given.seed}. ", end="")
    print(f"Exit codes: {', '.join(f'{code} {count}' for code, count in sorted(codes.items()))}.")
    print(", ".join(f"{word}: {found[word]}" for word in ("crash", "loss", "slow", "memory", *sorted(found))))
    return int(bool(found))


def _make(world: Path) -> None:
    from tests.effects.conftest import make_world

    world.parent.mkdir(parents=True, exist_ok=True)
    make_world(world)
    add_more(world)


def _import_for(slots: list[Slot], world: Path, room: Path) -> None:
    """Lets each program work once, in a process of its own, and imports what it has imported."""
    names = room / "modules"
    os.environ["BAD_INPUT_MODULES"] = str(names)
    for slot in {slot.script: slot for slot in slots}.values():
        matrix.run_case(slot, world, room / "first")
        forks.import_all_of(names.read_text().split())


def _part(given: argparse.Namespace, slots: list[Slot], world: Path, room: Path, part: int) -> matrix.Counts:
    own = room / f"part{part}"
    own.mkdir()
    if given.good:
        return _good(slots[part :: given.jobs], world, own)
    cases = (c for c in matrix.cases_of(slots, world, given.seed) if not given.only or given.only in c.name)
    until = time.monotonic() + 60 * given.minutes
    return matrix.run_all(islice(cases, part, None, given.jobs), world, own, until)


def _good(slots: list[Slot], world: Path, own: Path) -> matrix.Counts:
    counts = matrix.Counts()
    for slot in slots:
        ended, wrong = matrix.run_case(slot, world, own / "good")
        counts.tried += 1
        counts.codes[ended.code] += 1
        counts.found.update(what.partition(":")[0] for what in wrong)
        counts.lines += [f"{slot.name}: {what}" for what in wrong]
    return counts


if __name__ == "__main__":
    sys.exit(main())
