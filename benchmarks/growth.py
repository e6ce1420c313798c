"""Whether each of many takes what each of few does. Starting is left out: among few it would hide that time grows."""

from dataclasses import dataclass

from benchmarks.rows import TOO_SHORT, Row, at_most


@dataclass(frozen=True)
class Work:
    """So many things, and the seconds of all cores that a program took with them."""

    count: int
    cpu_s: float


def growth(what: str, start: Work, few: Work, many: Work, bound: float) -> Row:
    """Microseconds of each among many, beside each among few. `start`: the program with next to none."""
    per_few, per_many = (1e6 * (work.cpu_s - start.cpu_s) / (work.count - start.count) for work in (few, many))
    if min(per_few, per_many) <= 0:
        return Row(f"{what}: each", "us", None, goal=at_most(bound), note=TOO_SHORT)
    note = f"bare: of {few.count:,}; starting, {start.cpu_s:.2f} s, counts on neither"
    return Row(f"{what}: each", "us", per_many, per_few, at_most(bound), note)
