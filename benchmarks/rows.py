"""What the benchmarks of stages share: their figures beside the bare computation, their goals, table and options."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from benchmarks import stopping
from benchmarks.figures import in_one_line, machine
from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.atomic import check_writable, write_json

TOO_SHORT = "too little work to be told from starting"
ONLY_TRIED = "Tried only: these figures mean nothing, and no goal was judged."


@dataclass(frozen=True)
class Goal:
    """What a figure (`value`), or its ratio to the bare computation (`ratio`), must keep to."""

    bound: float
    way: Literal["at most", "at least", "within"]
    of: Literal["ratio", "value"]

    def holds(self, figure: float) -> bool:
        """Whether a figure keeps to it."""
        if self.way == "within":
            return 1 / self.bound <= figure <= self.bound
        return figure >= self.bound if self.way == "at least" else figure <= self.bound

    def __str__(self) -> str:
        return f"{self.way} {shown(self.bound)}{'x' if self.of == 'ratio' else ''}"


Columns = tuple[str, str]
OURS_AND_BARE: Columns = ("ours", "bare")
"""What a table calls its two figures."""


def at_most(bound: float, of: Literal["ratio", "value"] = "ratio") -> Goal:
    """A figure that must not be greater."""
    return Goal(bound, "at most", of)


def at_least(bound: float, of: Literal["ratio", "value"] = "ratio") -> Goal:
    """A figure that must not be smaller."""
    return Goal(bound, "at least", of)


def within(bound: float) -> Goal:
    """A ratio that must be neither greater nor as much smaller than 1."""
    return Goal(bound, "within", "ratio")


@dataclass(frozen=True)
class Row:
    """A figure of ours, that of the bare computation in the same run (if there is one), and the goal (if there is one).

    `ours` is None where nothing could be measured; then the note says why.
    `measured_ratio`: the median of the ratios of alternating pairs, which is steadier than the ratio of two medians.
    """

    what: str
    unit: str
    ours: float | None
    bare: float | None = None
    goal: Goal | None = None
    note: str = ""
    measured_ratio: float | None = None

    @property
    def ratio(self) -> float | None:
        """Ours to bare."""
        if self.measured_ratio is not None:
            return self.measured_ratio
        return self.ours / self.bare if self.bare and self.ours is not None else None

    @property
    def said(self) -> str:
        """The note; and what the ratio is, where the two figures beside it would be judged otherwise."""
        if self.measured_ratio is None or not self.bare or self.ours is None:
            return self.note
        if self._side(self.measured_ratio) == self._side(self.ours / self.bare):
            return self.note
        return f"{self.note}; median of pairs" if self.note else "median of pairs"

    def _side(self, ratio: float) -> tuple[bool, bool]:
        """On which side of 1 and of the goal a ratio lies."""
        return ratio > 1, self.goal is not None and self.goal.of == "ratio" and self.goal.holds(ratio)

    @property
    def holds(self) -> bool | None:
        """Whether the goal is kept; None without one."""
        if self.goal is None:
            return None
        figure = self.ratio if self.goal.of == "ratio" else self.ours
        return figure is not None and self.goal.holds(figure)


@dataclass(frozen=True)
class Given:
    """What every benchmark is asked for. `quick`: the least that shows that it works; `room`: an empty folder."""

    device: Literal["cpu", "cuda"]
    quick: bool
    rounds: int
    room: Path

    @property
    def few_rounds(self) -> int:
        """Rounds of what takes long: half of them, and at five a median of three."""
        return 1 if self.quick else (self.rounds + 1) // 2


def stage(measure: Callable[[Given], list[Row]], about: str | None, columns: Columns = OURS_AND_BARE) -> int:
    """The command line of a stage's benchmark: measures, prints, writes; 1 where a goal is missed."""
    return stopping.stoppable(lambda: _measured(measure, about, columns))


def _measured(measure: Callable[[Given], list[Row]], about: str | None, columns: Columns) -> int:
    options = arguments(about).parse_args()
    if options.device == "cuda":
        need_gpu()
    with stopping.room(options.room) as place:
        rows = measure(Given(options.device, options.quick, options.rounds, place))
    about_it = versions() | {"device": device_name(options.device)}
    return tell(rows, about_it, options.json, judged=not options.quick, columns=columns)


def tell(
    rows: list[Row], more: dict[str, Any], file: Path | None, judged: bool = True, columns: Columns = OURS_AND_BARE
) -> int:
    """Prints the table below the machine and what `more` the figures depend on, and writes both to a file.

    Gives the exit code: 1 where a goal is missed; what was only tried (not `judged`) has missed nothing.
    Errors: BadFile.
    """
    facts = machine() | more
    print(f"{in_one_line(facts)}\n\n{table(rows, judged, columns)}", flush=True)
    if not judged:
        print(f"\n{ONLY_TRIED}", flush=True)
    if file:
        told = [as_json(row, judged) for row in rows]
        write_json(file, {"about": facts, "command": sys.argv, "columns": columns, "rows": told})
    return int(judged and any(row.holds is False for row in rows))


def arguments(about: str | None) -> argparse.ArgumentParser:
    """The options that all of them have."""
    # Python 3.14 would name what follows -m by itself.
    module = getattr(sys.modules["__main__"].__spec__, "name", Path(sys.argv[0]).stem).removesuffix(".__main__")
    parser = argparse.ArgumentParser(prog=f"python -m {module}", description=about)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="cuda: at the models' true size")
    parser.add_argument("--quick", action="store_true", help="only see that it works: its figures mean nothing")
    parser.add_argument("--rounds", type=at_least_one, default=5, help="of each figure so many are taken (default: 5)")
    parser.add_argument(
        "--json", type=json_file, help="also write the figures, the machine and the versions to this file"
    )
    parser.add_argument("--room", type=room, help="where to work; the system's temporary folder else")
    return parser


def at_least_one(text: str) -> int:
    """How often something is done, or how many there are. Errors: ArgumentTypeError."""
    if not (text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"this is a whole number of at least 1, not {text or 'nothing'}.")
    return int(text)


def room(name: str) -> Path:
    """A folder to work in. Errors: ArgumentTypeError."""
    path = Path(name)
    if not path.is_dir():
        what = "is a file. Name a folder." if path.exists() else "is not there. Name a folder that is."
        raise argparse.ArgumentTypeError(f"{path} {what}")
    return _taking_files(path)


def json_file(name: str) -> Path:
    """A file that can be written when all is measured: its folder is there. Errors: ArgumentTypeError."""
    path = Path(name)
    if path.exists() and not path.is_file():
        what = "is a folder" if path.is_dir() else "is no ordinary file"
        raise argparse.ArgumentTypeError(f"{path} {what}. Name a file in a folder that is there.")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path} lies in no folder that is there. Name a file in one that is.")
    return _taking_files(path)


def _taking_files(path: Path) -> Path:
    try:
        check_writable(path)
    except BadFile as error:
        folder = path if path.is_dir() else path.parent
        raise argparse.ArgumentTypeError(f"{folder} takes no new files. Name a folder that does.") from error
    return path


def table(rows: list[Row], judged: bool = True, columns: Columns = OURS_AND_BARE) -> str:
    """The rows as a Markdown table; `judged`: with what is said of their goals."""
    lines = [f"| | {' | '.join(columns)} | ratio | goal | | |", "|---|---|---|---|---|---|---|"]
    for row in rows:
        ours, bare = (f"{shown(one)} {row.unit}".strip() if one is not None else "" for one in (row.ours, row.bare))
        ratio = f"{row.ratio:.2f}" if row.ratio is not None else ""
        said = {True: "holds", False: "MISSED", None: ""}[row.holds if judged else None]
        lines.append(f"| {row.what} | {ours} | {bare} | {ratio} | {row.goal or ''} | {said} | {row.said} |")
    return "\n".join(lines)


def as_json(row: Row, judged: bool) -> dict[str, Any]:
    """A row as it is written; what was only tried neither holds nor misses its goal."""
    goal, holds = str(row.goal) if row.goal else None, row.holds if judged else None
    return asdict(row) | {"ratio": row.ratio, "holds": holds, "goal": goal, "note": row.said}


def shown(value: float) -> str:
    """A figure with about three digits."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def versions() -> dict[str, str]:
    """The packages that the figures depend on."""
    from importlib.metadata import version

    return {name: version(name) for name in ("torch", "diffusers", "transformers")}


def device_name(device: str) -> str:
    """What the figures were taken on."""
    if device == "cpu":
        return "CPU"
    import torch

    return torch.cuda.get_device_name()


def need_gpu() -> None:
    """Errors: SystemExit, where there is none."""
    import torch

    if not torch.cuda.is_available():
        raise SystemExit(
            "Error: --device cuda: there is no GPU that torch can use here. Leave it out to measure the CPU."
        )
