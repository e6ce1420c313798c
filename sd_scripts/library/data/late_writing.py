"""Files are written in threads of their own while the next are made. Needs no torch."""

from collections import deque
from collections.abc import Callable, Hashable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Generic, TypeVar

Item = TypeVar("Item")

# A file is there for good when the disk says so, which takes long and needs no processor: several ask at once.
WRITERS = 4
MOST_WAITING = 64


@dataclass(frozen=True)
class Work(Generic[Item]):
    """Something that was made, and how it is written. What has the same `place` is written one after the other."""

    item: Item
    write: Callable[[], None]
    place: Hashable = None


class LateWriting(Generic[Item]):
    """Takes what is to be written; tells of each, in order and in the caller's thread, whether that worked."""

    def __init__(
        self,
        done: Callable[[Work[Item], Exception | None], None],
        writers: int = WRITERS,
        most_waiting: int = MOST_WAITING,
    ) -> None:
        """`done` is told what was to be written, and what went wrong if something did."""
        self._done = done
        self._most_waiting = most_waiting
        self._pool = ThreadPoolExecutor(writers, thread_name_prefix="writer")
        self._waiting: deque[tuple[Work[Item], Future[None]]] = deque()

    def put(self, work: Work[Item]) -> None:
        """Has something written. What is written by now is told of; where much waits, so does the caller."""
        if work.place is not None and any(work.place == before.place for before, _ in self._waiting):
            self.settle()
        self._waiting.append((work, self._pool.submit(work.write)))
        while self._waiting and (len(self._waiting) > self._most_waiting or self._waiting[0][1].done()):
            self._tell()

    def settle(self) -> None:
        """Waits until everything is written and told of."""
        while self._waiting:
            self._tell()

    def close(self) -> None:
        """Ends the threads, when what they have begun is written."""
        self._pool.shutdown()

    def _tell(self) -> None:
        work, future = self._waiting.popleft()
        error = future.exception()
        if error is not None and not isinstance(error, Exception):
            raise error
        self._done(work, error)


class LateMaking(Generic[Item]):
    """Batches are made one behind the other: while a device works on one, the one before it is written.

    A GPU has begun with the next batch before the last one is brought from it, and waits for no file.
    """

    def __init__(self, done: Callable[[Work[Item], Exception | None], None]) -> None:
        """`done`: as LateWriting tells it."""
        self._writing = LateWriting(done)
        self._begun: Callable[[], list[Work[Item]]] = list

    def add(self, begun: Callable[[], list[Work[Item]]]) -> None:
        """Takes a batch that was begun, by what waits for it, and has the one before it written."""
        self._begun, before = begun, self._begun
        for work in before():
            self._writing.put(work)

    def settle(self) -> None:
        """Waits until everything is made, written and told of."""
        self.add(list)
        self._writing.settle()

    def close(self) -> None:
        """Ends the threads, when what they have begun is written."""
        self._writing.close()
