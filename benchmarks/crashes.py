"""Kills the programs hard at random moments, starts them again, and looks at what is there: `--kills 200`.

Half of the kills come at any moment of a run, half while something is being written. The exit code is 1 where a file is
damaged, anything is lost, or a program does not go on.
"""

import argparse
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.crash.killing import kill, run, unfinished
from benchmarks.crash.kind import Kind
from benchmarks.crash.kinds import all_kinds, load_packages, make_template

TRIES = 12
_COLUMNS = ("kills", "during a write", "went on", "damaged", "lost", "left over")


@dataclass
class Tally:
    """What came of the kills of a kind; `words` tells what was found."""

    counts: Counter[str] = field(default_factory=Counter)
    words: list[str] = field(default_factory=list)


def main() -> int:
    """Kills, prints the table, and says whether all was well."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=1, help="how many of these at once (default: 1)")
    parser.add_argument("--kinds", nargs="*", help="only kinds of these names")
    parser.add_argument("--minutes", type=float, default=60.0, help="no new kill after this time (default: 60)")
    parser.add_argument("--folder", type=Path, help="where to work (default: a new temporary folder)")
    parser.add_argument("--json", type=Path, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    began = time.perf_counter()
    tallies = _share(asked) if asked.jobs > 1 else _work(asked)
    if asked.json:
        found = {name: {"counts": tally.counts, "words": tally.words} for name, tally in tallies.items()}
        asked.json.write_text(json.dumps(found))
        return 0
    print(table(tallies))
    print(f"seed {asked.seed}, {asked.jobs} at once, {time.perf_counter() - began:.0f} s")
    for name, tally in tallies.items():
        for words in tally.words:
            print(f"{name}: {words}")
    return 0 if all_well(tallies, asked.kills) else 1


def all_well(tallies: dict[str, Tally], kills: int) -> bool:
    """Whether all kills were made, after each the program went on, and nothing was damaged, lost or left."""
    total = sum((tally.counts for tally in tallies.values()), Counter())
    bad = total["damaged"] + total["lost"] + total["left over"]
    return not bad and total["kills"] == total["went on"] == kills


def table(tallies: dict[str, Tally]) -> str:
    """The counts of each kind, and of all."""
    rows = [(name, [tally.counts[column] for column in _COLUMNS]) for name, tally in sorted(tallies.items())]
    rows.append(("all", [sum(row[1][i] for row in rows) for i in range(len(_COLUMNS))]))
    lines = ["| kind | " + " | ".join(_COLUMNS) + " |", "|---|" + "---|" * len(_COLUMNS)]
    return "\n".join(lines + [f"| {name} | " + " | ".join(map(str, row)) + " |" for name, row in rows])


def _share(asked: argparse.Namespace) -> dict[str, Tally]:
    """The same by several processes, each with its own part of the kills."""
    with tempfile.TemporaryDirectory() as folder:
        jobs = []
        for number in range(asked.jobs):
            kills = asked.kills // asked.jobs + (number < asked.kills % asked.jobs)
            argv = [sys.executable, "-m", "benchmarks.crashes", "--kills", str(kills)]
            argv += ["--seed", str(asked.seed + number), "--minutes", str(asked.minutes)]
            argv += ["--json", f"{folder}/{number}.json", *(["--kinds", *asked.kinds] if asked.kinds else [])]
            jobs.append(subprocess.Popen(argv))
        tallies: dict[str, Tally] = {}
        for number, job in enumerate(jobs):
            if job.wait():
                raise SystemExit(f"job {number} failed")
            for name, found in json.loads(Path(folder, f"{number}.json").read_text()).items():
                tally = tallies.setdefault(name, Tally())
                tally.counts.update(found["counts"])
                tally.words += found["words"]
        return tallies


def _work(asked: argparse.Namespace) -> dict[str, Tally]:
    os.environ.update({"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"})
    load_packages()
    folder = asked.folder or Path(tempfile.mkdtemp(prefix="crashes-"))
    folder.mkdir(parents=True, exist_ok=True)
    try:
        template = folder / "template"
        if run(lambda: make_template(template), folder / "template.log").code:
            raise SystemExit((folder / "template.log").read_text())
        kinds = [kind for kind in all_kinds(template) if not asked.kinds or kind.name in asked.kinds]
        return _kill_all(kinds, asked, folder)
    finally:
        if not asked.folder:
            shutil.rmtree(folder, ignore_errors=True)


def _kill_all(kinds: list[Kind], asked: argparse.Namespace, folder: Path) -> dict[str, Tally]:
    chance, tallies = random.Random(asked.seed), {kind.name: Tally() for kind in kinds}
    lasts: dict[str, float] = {}
    ends = time.monotonic() + asked.minutes * 60
    # Each job begins elsewhere, so that few kills reach all kinds between them.
    for number in range(asked.kills):
        if time.monotonic() > ends:
            break
        kind = kinds[(number + asked.seed) % len(kinds)]
        if kind.name not in lasts:
            lasts[kind.name] = _undisturbed_s(kind, folder)
        world = folder / f"{number}"
        aimed = (number // len(kinds) + number) % 2 == 0
        _kill_once(kind, world, lasts[kind.name], chance, aimed, tallies[kind.name])
    return tallies


def _undisturbed_s(kind: Kind, folder: Path) -> float:
    """How long a run takes that nobody disturbs. Errors: SystemExit, where it does not come to its end."""
    world, log = folder / f"undisturbed-{kind.name}", folder / f"undisturbed-{kind.name}.log"
    kind.begin(world)
    ended = run(kind.work(world), log)
    if ended.code:
        raise SystemExit(f"{kind.name} does not work when nobody disturbs it: {log.read_text()[-3000:]}")
    kind.learn(world)
    return ended.seconds


def _kill_once(kind: Kind, world: Path, lasts_s: float, chance: random.Random, aimed: bool, tally: Tally) -> None:
    """Kills a run in a new world, starts it again and notes what is found. A world in which all was well is removed."""
    log = world.with_suffix(".log")
    for number in range(TRIES):
        # Of one that had ended a worker may still be at its last words.
        world = world.with_name(f"{log.stem}-{number}")
        kind.begin(world)
        if kill(kind.work(world), log, chance.uniform(0.0, lasts_s), world if aimed else None):
            break
    else:
        tally.words.append(f"it ended before the kill, {TRIES} times")
        return
    writing = unfinished(world)
    damaged = kind.damage(world)
    ended = run(kind.work(world), log)
    lost = kind.losses(world) if not ended.code else []
    left = unfinished(world)
    found = {"damaged": damaged, "lost": lost, "left over": left}
    tally.counts.update({"kills": 1, "during a write": int(bool(writing)), "went on": int(not ended.code)})
    tally.counts.update({column: int(bool(words)) for column, words in found.items()})
    tally.words += [f"{column}: {'; '.join(words[:4])} ({world})" for column, words in found.items() if words]
    if ended.code:
        tally.words.append(f"it did not go on ({world}): {log.read_text()[-1500:]}")
    if not (damaged or lost or left or ended.code):
        shutil.rmtree(world, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
