"""Every broken thing against every place from which a program reads, and what is wrong with how that ends."""

import contextlib
import hashlib
import os
import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from sd_scripts.options.scripts import SCRIPTS
from sd_scripts.options.values import to_argv
from tests.bad_input import forks
from tests.bad_input.broken import broken
from tests.bad_input.evil import MARK
from tests.bad_input.kinds import Broken
from tests.bad_input.slots import Slot
from tests.effects.run import needed

# What a program may write beside what it reads. The index of caches is a help that may change at any time, and a Keras
# model is exported beside itself before the first picture is looked at.
_MAY_CHANGE = (".npz", ".caption", ".txt", "new.json", "meta_cache.json", ".sd_cache.json", ".onnx")
_LARGEST_BYTES = 64 * 1024**2


class Case(NamedTuple):
    """One broken thing at one place."""

    slot: Slot
    broken: Broken

    @property
    def name(self) -> str:
        """Such as "fine_tune.py: vae.ckpt: a pipe"."""
        return f"{self.slot.name}: {self.broken.name}"


@dataclass
class Counts:
    """What has come of it."""

    tried: int = 0
    found: Counter[str] = field(default_factory=Counter)
    lines: list[str] = field(default_factory=list)
    codes: Counter[int] = field(default_factory=Counter)
    times_s: dict[str, float] = field(default_factory=dict)


def cases_of(slots: list[Slot], world: Path, seed: int) -> Iterator[Case]:
    """Every case once, by lot over all slots, so that a bounded run touches each of them."""
    draw = random.Random(seed)
    counts = [len(broken(slot.kind, world / slot.good, seed)) for slot in slots]
    waiting = [draw.sample(range(count), count) for count in counts]
    order = [place for place, numbers in enumerate(waiting) for _ in numbers]
    draw.shuffle(order)
    # Each place comes once before the lot decides.
    for place in [*range(len(slots)), *order]:
        if waiting[place]:
            slot = slots[place]
            yield Case(slot, broken(slot.kind, world / slot.good, seed)[waiting[place].pop()])


def argv_of(slot: Slot, here: Path) -> list[str]:
    """The command line that makes the program read there."""
    values = needed(slot.script) | slot.values
    return to_argv(SCRIPTS[slot.script], {name: _placed(value, here) for name, value in values.items()})


def _placed(value: Any, here: Path) -> Any:
    if isinstance(value, list):
        return [_placed(one, here) for one in value]
    return value.replace("{here}", str(here)) if isinstance(value, str) else value


def run_case(
    case: Case | Slot, world: Path, here: Path, longest_s: float = forks.LONGEST_S
) -> tuple[forks.Ended, list[str]]:
    """Runs a program over a broken thing (a slot alone: over the good one): its end, and what is wrong with it."""
    slot = case if isinstance(case, Slot) else case.slot
    shutil.copytree(world, here, copy_function=os.link)
    put = here / slot.put
    put.unlink(missing_ok=True)
    put.parent.mkdir(parents=True, exist_ok=True)
    if isinstance(case, Slot):
        shutil.copy2(world / slot.good, put)
    else:
        case.broken.make(put)
    before = _tree(here)
    ended = forks.run_script(slot.script, argv_of(slot, here), here, longest_s)
    wrong = ["ran: what the file names was run"] if (here / MARK).exists() else []
    wrong += [*ended_wrongly(case, ended), *lost(before, _tree(here), ended.code == 0)]
    shutil.rmtree(here)
    return ended, wrong


def ended_wrongly(case: Case | Slot, ended: forks.Ended) -> Iterator[str]:
    if ended.late:
        yield f"slow: not at its end after {ended.took_s:.0f} s"
        return
    if "MemoryError" in ended.said or "bad_alloc" in ended.said or ended.grown_bytes > forks.MOST_BYTES:
        yield f"memory: {ended.grown_bytes / 1e9:.1f} GB"
    if "Traceback (most recent call last)" in ended.said or ended.code not in (0, 1, 2):
        yield f"crash: {last_line(ended.said)}"
    elif ended.code and "Error: " not in last_line(ended.said):
        yield f"no sentence: {last_line(ended.said)}"
    if isinstance(case, Slot):
        if ended.code:
            yield f"the good file is refused: {last_line(ended.said)}"
    elif ended.code == 0 and not case.broken.usable and not case.slot.per_item and "/" not in case.slot.put:
        yield "taken: what cannot be used is used, without a word"
    elif case.slot.per_item and ended.code == 2 and "no pictures here" not in ended.said:
        yield f"stopped: by one picture: {last_line(ended.said)}"


def last_line(said: str) -> str:
    """What a program said last."""
    lines = said.strip().splitlines()
    told = [line for line in lines if line.startswith("Error: ")] or lines
    with contextlib.suppress(StopIteration):
        place = next(number for number, line in enumerate(lines) if line.startswith("This is a fault"))
        return lines[place - 1][:300]
    return told[-1][:300] if told else "nothing"


def lost(before: dict[str, Any], after: dict[str, Any], well: bool) -> Iterator[str]:
    for name in sorted(before.keys() | after.keys()):
        if before.get(name) == after.get(name):
            continue
        if name not in before:
            if ".part" in name or name.endswith((".tmp", ".old")):
                yield f"loss: left behind {name}"
            elif not well and not name.startswith(("out", "logs")) and not name.endswith(_MAY_CHANGE):
                yield f"loss: written in spite of the failure: {name}"
        elif not name.endswith(_MAY_CHANGE):
            yield f"loss: {'changed' if name in after else 'gone'}: {name}"


def _tree(folder: Path) -> dict[str, Any]:
    """{name: what it holds} of everything below a folder; of links and giants what the system tells."""
    found: dict[str, Any] = {}
    for place, folders, files in os.walk(folder):
        for name in (*files, *(name for name in folders if os.path.islink(os.path.join(place, name)))):
            path = os.path.join(place, name)
            found[os.path.relpath(path, folder)] = _held(path)
    return found


_known: dict[tuple[int, int, int], str] = {}


def _held(path: str) -> Any:
    about = os.lstat(path)
    if not os.path.isfile(path) or os.path.islink(path) or about.st_size > _LARGEST_BYTES:
        return about.st_mode, about.st_size, about.st_mtime_ns
    key = about.st_ino, about.st_size, about.st_mtime_ns
    if about.st_nlink == 1:
        return _hash(path)
    # A file of the world: it is read once for all cases, unless its time or size changes.
    if key not in _known:
        _known[key] = _hash(path)
    return _known[key]


def _hash(path: str) -> str:
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha1").hexdigest()


def run_all(cases: Iterator[Case], world: Path, room: Path, until: float) -> Counts:
    """Runs cases until they or the time are at their end."""
    counts = Counts()
    for number, case in enumerate(cases):
        if time.monotonic() > until:
            break
        ended, wrong = run_case(case, world, room / f"case{number}")
        counts.tried += 1
        counts.codes[ended.code] += 1
        counts.times_s[case.name] = ended.took_s
        for what in wrong:
            counts.found[what.partition(":")[0]] += 1
            counts.lines.append(f"{case.name}: {what}")
    return counts
