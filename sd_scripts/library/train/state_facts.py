"""What a state says of itself, in its state.json. Needs no torch: the page reads it too."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.shown import Shown, write_shown

VERSION = 2
FACTS = "state.json"


@dataclass(frozen=True)
class Facts:
    """What a state says of itself. `plan` is the fingerprint of the present epoch's plan, `pictures` that of the data.

    `best_loss` is the lowest validation loss, that after `best_step`; `worse` validations came since. `total_steps`:
    where training was to end. `options`: those that shape training (shaping.py); None: an older state knows none.
    `branches`: where options changed on the way, each with its step and changes. `saved_at`: Unix seconds. `shown`: the
    pictures one by one; there may be many, so they are written into a file of their own (shown.py) and read from there.
    """

    step: int
    epoch: int
    window: int
    seed: int
    plan: str
    method: str
    family: str
    optimizer: str
    best_loss: float | None = None
    best_step: int = 0
    worse: int = 0
    total_steps: int = 0
    pictures: str = ""
    options: dict[str, Any] | None = None
    branches: list[dict[str, Any]] = field(default_factory=list)
    saved_at: float = 0.0
    version: int = VERSION
    shown: tuple[Shown, ...] = field(default=(), repr=False)

    def place(self) -> Place:
        """Where training stands."""
        return Place(self.step, self.epoch, self.window)


def write_facts(folder: Path, facts: Facts) -> None:
    """Writes state.json into a folder that is being made, and the pictures where they are known."""
    values = asdict(replace(facts, shown=()))
    del values["shown"]
    (folder / FACTS).write_text(json.dumps(values, indent=2), encoding="utf-8")
    if facts.shown:
        write_shown(folder, facts.shown)


def read_facts(folder: str, option: str = "resume") -> Facts:
    """What a state says of itself. Errors: BadOption, which blames the option that named the state."""
    try:
        return facts_of(Path(folder))
    except UnknownVersion as error:
        sentence = f"its version {error} is not known to this program. Update it."
        raise BadOption(option, f"--{option} {folder}: {sentence}") from error
    except (OSError, ValueError, TypeError, RecursionError) as error:
        sentence = "this is no state that this program wrote whole. Choose another."
        raise BadOption(option, f"--{option} {folder}: {sentence}") from error


def facts_of(folder: Path) -> Facts:
    """The facts in a folder. Errors: OSError, ValueError, TypeError, RecursionError: it holds none."""
    values = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    while (version := values.get("version") if isinstance(values, dict) else None) in _MIGRATIONS:
        values = _MIGRATIONS[version](values)
    if isinstance(version, int) and version != VERSION:
        raise UnknownVersion(version)
    facts = Facts(**values)
    if not all(isinstance(number, int) for number in (facts.step, facts.epoch, facts.window, facts.seed)):
        raise ValueError("step, epoch, window and seed are whole numbers")
    return facts


class UnknownVersion(ValueError):
    """A state of a later program."""


def _with_options(values: dict[str, Any]) -> dict[str, Any]:
    """Version 2 records the options; what they were before is not known."""
    return values | {"version": 2, "options": None, "branches": [], "total_steps": 0, "pictures": "", "saved_at": 0.0}


_MIGRATIONS: dict[Any, Callable[[dict[str, Any]], dict[str, Any]]] = {1: _with_options}
