"""Files are written in threads of their own while the next are made. Needs no torch."""

from collections import deque
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A file is there for good when the disk says so, which takes long and needs no processor: several ask at once.
WRITERS = 4
MOST_WAITING = 64


class LateWriting(Generic[Item]):
    """Takes what is to be written; tells of each item, in order and in the caller's thread, whether that worked."""

    def __init__(self, done: Callable[[Item, Callable[[], None], Exception | None], None]) -> None:
        """`done` is told the item, how it was to be written, and what went wrong if something did."""
        self._done = done
        self._pool = ThreadPoolExecutor(WRITERS, thread_name_prefix="writer")
        self._waiting: deque[tuple[Item, Callable[[], None], Future[None]]] = deque()

    def put(self, item: Item, write: Callable[[], None]) -> None:
        """Has something written. What is written by now is told of; where much waits, so does the caller."""
        self._waiting.append((item, write, self._pool.submit(write)))
        while self._waiting and (len(self._waiting) > MOST_WAITING or self._waiting[0][2].done()):
            self._tell()

    def settle(self) -> None:
        """Waits until everything is written and told of."""
        while self._waiting:
            self._tell()

    def close(self) -> None:
        """Ends the threads, when what they have begun is written."""
        self._pool.shutdown()

    def _tell(self) -> None:
        item, write, future = self._waiting.popleft()
        error = future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        self._done(item, write, error)
