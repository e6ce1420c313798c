"""Writing while training goes on."""

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from sd_scripts.library.io.drafts import Draft
from sd_scripts.library.pausing import Trouble
from sd_scripts.library.ram import free_ram_bytes
from sd_scripts.library.shortage import is_out_of_memory

# What training itself, and the system, may need beside while a copy is held.
MARGIN_BYTES = 2_000_000_000

Attempt = Callable[[], Trouble | None]


class Aside:
    """One thread that makes attempts to write, one after the other, up to the first that meets trouble."""

    def __init__(self) -> None:
        self._thread: ThreadPoolExecutor | None = None
        self._going: Future[list[Trouble | None]] | None = None

    def begin(self, attempts: Sequence[Attempt]) -> None:
        """Begins; what was begun before is over and taken."""
        # Not a daemon: a program that ends waits for it.
        self._thread = self._thread or ThreadPoolExecutor(1, "saving")
        self._going = self._thread.submit(_all, attempts)

    @property
    def done(self) -> bool:
        """Whether nothing is being written."""
        return self._going is None or self._going.done()

    def outcomes(self) -> list[Trouble | None]:
        """Waits; what the attempts came to, as far as they were made. Errors: theirs."""
        going, self._going = self._going, None
        return going.result() if going else []


def keep(draft: Draft) -> bool:
    """Copies a draft where memory allows; whether it did."""
    if free_ram_bytes() < draft.size_bytes + MARGIN_BYTES:
        return False
    try:
        draft.keep()
    except (MemoryError, RuntimeError) as error:
        # A limit of which nobody told.
        if not is_out_of_memory(error):
            raise
        return False
    return True


def _all(attempts: Sequence[Attempt]) -> list[Trouble | None]:
    outcomes: list[Trouble | None] = []
    for attempt in attempts:
        outcomes.append(attempt())
        if outcomes[-1]:
            break
    return outcomes
