"""Merging, cleaning and reading metadata beside the least code that does it, each as a process of its own.

100,000 pictures, each with a caption and tags. A million entries show that time grows with them and memory does not.
"""

import itertools
import random
import statistics
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from benchmarks.alternating import alternating
from benchmarks.growth import Work, growth
from benchmarks.processes import Cost, cost_of
from benchmarks.rows import Given, Row, at_most, stage
from benchmarks.scale import SIZE_PX, make_pictures, name_of
from sd_scripts.library.io.metadata import Entry, write_entries

HERE = Path(__file__).parent
BARE = HERE / "bare_metadata.py"
READ = HERE / "reading.py"
FINETUNE = HERE.parent / "sd_scripts" / "finetune"
CAPTIONS, TAGS, CLEAN = (
    FINETUNE / f"{name}.py"
    for name in ("merge_captions_to_metadata", "merge_dd_tags_to_metadata", "clean_captions_and_tags")
)
LOOKS = "long short medium red blue green black white large small open closed striped high low single double"
THINGS = "hair eyes shirt skirt hat ribbon sky bow dress gloves boots jacket sleeves bun braid flower window"
DISTINCT = 10_000
"""Lists of tags; they come round, as to draw a million takes longer than to clean them."""

Argv = list[str | Path]


class Pair(NamedTuple):
    """Our program and the bare one. `out`: what both write, so that neither finds it there."""

    what: str
    ours: Argv
    bare: Argv
    goal: float | None = 1.5
    out: Path | None = None
    most_rounds: int = 3


def measure(given: Given) -> list[Row]:
    """Seconds by the clock at 100,000 pictures, then time per entry and memory at a million."""
    few, many = (500, 2_000) if given.quick else (100_000, 1_000_000)
    folder = given.room / "pictures"
    make_pictures(folder, few)
    for number, text in enumerate(made_tags(few)):
        (folder / f"{name_of(number)}.txt").write_text(text + "\n")
    rows = [_compared(pair, 1 if given.quick else given.rounds) for pair in _pairs(given.room, folder, few)]
    return rows + _growth(given.room, few, many, 1 if given.quick else 2)


def _pairs(room: Path, folder: Path, count: int) -> Iterator[Pair]:
    merged, both, sized, out = (room / f"{name}.json" for name in ("merged", "both", "sized", "out"))
    write_entries(merged, ((key, Entry(caption=entry["caption"])) for key, entry in made_entries(count)))
    write_entries(both, made_entries(count))
    write_entries(sized, ((key, entry | {"train_resolution": list(SIZE_PX)}) for key, entry in made_entries(count)))
    captions: Argv = ["merge", folder, ".caption", "caption", "", out]
    tags: Argv = ["merge", folder, ".txt", "tags", merged, out]
    yield Pair("merge captions", [CAPTIONS, folder, out], [BARE, *captions], out=out)
    yield Pair("merge tags into them", [TAGS, folder, out, "--in_json", merged], [BARE, *tags], out=out)
    yield Pair("clean", [CLEAN, both, out], [BARE, "clean", both, out], out=out)
    yield Pair("clean, beside a mere copy", [CLEAN, both, out], [BARE, "copy", both, out], None, out)
    reading = Pair("read for training", [READ, sized, "read", folder], [BARE, "train", sized, folder])
    # The nearest to its goal.
    yield reading._replace(most_rounds=5)
    yield Pair("... with the pictures' sizes", [READ, both, "read", folder], [BARE, "train", both, folder])


def _compared(pair: Pair, rounds: int) -> Row:
    """Medians of processes in turn. They take long enough for few rounds."""
    costs: dict[bool, list[Cost]] = {True: [], False: []}

    def taken(ours: bool) -> float:
        if pair.out:
            pair.out.unlink(missing_ok=True)
        costs[ours].append(cost_of(pair.ours if ours else pair.bare))
        return costs[ours][-1].wall_s

    rounds = min(rounds, pair.most_rounds)
    ours_s, bare_s, ratio = alternating(lambda: taken(True), lambda: taken(False), rounds)
    cpu_s, bare_cpu_s = (min(cost.cpu_s for cost in costs[ours]) for ours in (True, False))
    peaks = (max(cost.peak_mb for cost in costs[ours]) for ours in (True, False))
    note = f"CPU {cpu_s:.2f} s to {bare_cpu_s:.2f} s, memory {' to '.join(f'{peak:.0f} MB' for peak in peaks)}"
    goal = at_most(pair.goal) if pair.goal else None
    return Row(pair.what, "s", ours_s, bare_s, goal, note, ratio)


def _growth(room: Path, few: int, many: int, again: int) -> list[Row]:
    """What an entry takes among many and among few, and the most memory that many take."""
    single, small, large, out = (room / f"{name}.json" for name in ("single", "few", "many", "out"))
    three = room / "three"
    make_pictures(three, 3)
    for file, count in ((single, 1), (small, few), (large, many)):
        write_entries(file, made_entries(count))
    programs = {
        "clean": lambda file: [CLEAN, file, out],
        "merge three pictures into": lambda file: [CAPTIONS, three, out, "--in_json", file],
    }
    rows = []
    for what, program in programs.items():
        by_few, by_many = (cost_of(program(file)) for file in (small, large))
        # The two that are short weigh most.
        start_s, few_s = (
            statistics.median([cost_of(program(file)).cpu_s for _ in range(again)] + known)
            for file, known in ((single, []), (small, [by_few.cpu_s]))
        )
        name = f"{what} {many:,} entries"
        rows.append(growth(name, Work(1, start_s), Work(few, few_s), Work(many, by_many.cpu_s), 1.2))
        rows.append(Row(f"{name}, memory", "MB", by_many.peak_mb, by_few.peak_mb, at_most(60, "value")))
    return rows


def made_entries(count: int) -> Iterator[tuple[str, Entry]]:
    """Entries as the merging stages make them: a caption and some fifteen tags each."""
    for number, tags in enumerate(made_tags(count)):
        yield name_of(number), Entry(caption=f"a photograph of thing number {number}, in a green field", tags=tags)


def made_tags(count: int) -> Iterator[str]:
    """Tags as a tagger writes them: some of them often, every seventh picture with several people."""
    lot = random.Random(0)
    looks, things = (text.split() for text in (LOOKS, THINGS))
    words = [*things, *(f"{look}_{thing}" for look in looks for thing in things), "solo", "smile", "^_^", "outdoors"]
    lot.shuffle(words)
    weights = [1 / (place + 3) for place in range(len(words))]
    drawn = [
        ", ".join(["1girl" if number % 7 else "2girls", *dict.fromkeys(lot.choices(words, weights, k=18))])
        for number in range(min(count, DISTINCT))
    ]
    yield from itertools.islice(itertools.cycle(drawn), count)


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
