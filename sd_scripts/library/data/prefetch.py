"""Reads the next batches while the model works on this one: threads, the same on every system."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import TypeVar

from sd_scripts.library.data.read_ahead import Prepared, attempt
from sd_scripts.library.data.training_data import Item

Loaded = TypeVar("Loaded")

# So many batches are read ahead at least, however few readers there are.
BATCHES_AHEAD = 2


class Readers:
    """So many threads that read items; 0: none. `keep`: they stay from one reading to the next, until `close`."""

    def __init__(self, count: int, keep: bool = False) -> None:
        self.count = count
        self._keep = keep
        self._kept: ThreadPoolExecutor | None = None

    @contextmanager
    def pool(self) -> Iterator[ThreadPoolExecutor]:
        """The threads, for one reading."""
        if not self._keep:
            with ThreadPoolExecutor(self.count, thread_name_prefix="reader") as pool:
                yield pool
            return
        self._kept = self._kept or ThreadPoolExecutor(self.count, thread_name_prefix="reader")
        yield self._kept

    def close(self) -> None:
        """Ends the threads that were kept."""
        if self._kept:
            self._kept.shutdown()
            self._kept = None


def prefetch(
    batches: Iterable[list[Item]],
    load: Callable[[Item], Loaded],
    readers: Readers,
    on_failure: Callable[[Item, str], None],
) -> Iterator[list[Loaded]]:
    """Gives every batch loaded, in order; what it gives does not depend on the number of readers.

    An item that cannot be read is missing from its batch and goes to `on_failure`, in order and in this thread. A batch
    of which nothing could be read comes empty, so that batches can still be counted.
    """
    if readers.count == 0:
        for batch in batches:
            yield _collected([attempt(load, item) for item in batch], on_failure)
        return
    waiting: deque[list[Future[Prepared[Item, Loaded]]]] = deque()
    with readers.pool() as pool:
        try:
            for batch in batches:
                waiting.append([pool.submit(attempt, load, item) for item in batch])
                items_ahead = sum(map(len, waiting))
                if len(waiting) > BATCHES_AHEAD and items_ahead > 2 * readers.count:
                    yield _collected(_loaded(waiting), on_failure)
            while waiting:
                yield _collected(_loaded(waiting), on_failure)
        finally:
            _drop([future for batch in waiting for future in batch])


def _loaded(waiting: deque[list[Future[Prepared[Item, Loaded]]]]) -> list[Prepared[Item, Loaded]]:
    """The first of the batches, which waits no more; where an item of it fails, all still do."""
    loaded = [future.result() for future in waiting[0]]
    waiting.popleft()
    return loaded


def _drop(futures: list[Future[Prepared[Item, Loaded]]]) -> None:
    """Takes back what is not begun, and waits for what is."""
    wait([future for future in futures if not future.cancel()])


def _collected(loaded: list[Prepared[Item, Loaded]], on_failure: Callable[[Item, str], None]) -> list[Loaded]:
    found = []
    for one in loaded:
        if one.result is None:
            on_failure(one.item, one.reason)
        else:
            found.append(one.result)
    return found
