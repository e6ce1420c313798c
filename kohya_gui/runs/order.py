"""The order of the queue, and whether it is paused: one file, changed under a lock that all processes share."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from kohya_gui.runs.lock import held
from kohya_gui.words import refusal
from sd_scripts.library.io.twice import read_either, write_twice

VERSION = 1
WAIT_S = 10.0


@dataclass
class Order:
    """queue.json: the runs that were queued and have not ended, first to last. `serial` counts the changes."""

    ids: list[str] = field(default_factory=list)
    paused: bool = False
    serial: int = 0
    version: int = VERSION


class OrderFile:
    """Where the order is kept. A run counts as queued from the moment in which it is listed here.

    `was_damaged`: since this process looked first, the file was found damaged, and its copy was taken.
    """

    def __init__(self, runs_dir: Path) -> None:
        self.was_damaged = False
        self.path = runs_dir / "queue.json"
        self._lock_path = runs_dir / "queue.lock"

    def read(self) -> Order | None:
        """The order; None where none was written yet: then all that has not ended is queued, by its id."""
        found = read_either(self.path, _order)
        self.was_damaged |= found.damaged
        order: Order | None = found.value
        return order

    def held(self, wait_s: float) -> AbstractContextManager[bool]:
        """Keeps others from changing the queue; gives whether that was granted within `wait_s`."""
        return held(self._lock_path, wait_s)

    @contextmanager
    def changing(self) -> Iterator[Order]:
        """Gives the order to change; it is written when the block ends. Errors: BadOption, when others never let go."""
        with self.held(WAIT_S) as mine:
            if not mine:
                raise refusal("queue", "run.queue_busy")
            order = self.read() or Order()
            yield order
            order.serial += 1
            write_twice(self.path, asdict(order))


def _order(saved: dict[str, Any]) -> Order:
    order = Order(**saved)
    if not (isinstance(order.ids, list) and all(isinstance(one, str) for one in order.ids)):
        raise TypeError("ids are texts")
    return Order(order.ids, bool(order.paused), int(order.serial), order.version)
