"""Reads ahead: worker processes, or threads, prepare items while the model works on earlier ones."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.errors import BadOption
from sd_scripts.library.shortage import is_out_of_memory
from sd_scripts.library.systems import stop_signals
from sd_scripts.library.team import own_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

# Below this many items per worker, starting the worker costs more than it saves.
ITEMS_PER_WORKER = 16

# Of each worker or thread: a large picture takes as long as many small ones, which are to be there by then.
AHEAD = 4

# Each may hold some hundred MB.
MOST_WORKERS = 32

WORKER_ENDED = (
    "A worker process that reads pictures was ended from outside, perhaps because memory ran out. "
    "Use a smaller --max_data_loader_n_workers."
)


@dataclass(frozen=True)
class Prepared(Generic[Item, Result]):
    """An item with what was made of it, or with the reason why nothing was."""

    item: Item
    result: Result | None = None
    reason: str = ""


def read_ahead(
    items: Sequence[Item], prepare: Callable[[Item], Result], workers: int | None = None
) -> Iterator[Prepared[Item, Result]]:
    """Gives every item prepared, in order. `prepare` must be picklable: a function of a module, or a partial of one.

    `workers`: 0 for this process; None for as many as the cores and the number of items call for.
    Errors: BadOption, when a worker is ended from outside.
    """
    count = chosen_workers(len(items)) if workers is None else min(workers, len(items))
    if count == 0:
        yield from (attempt(prepare, item) for item in items)
        return
    # spawn: the same on every system, and no copies of a process that already holds a model and threads.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(count, mp_context=context, initializer=_begin_worker) as pool:
        try:
            yield from _in_order(pool, items, prepare, count * AHEAD)
        except BrokenProcessPool as error:
            raise BadOption("max_data_loader_n_workers", WORKER_ENDED) from error
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def read_in_threads(
    items: Sequence[Item], prepare: Callable[[Item], Result], threads: int | None, more: int
) -> Iterator[Prepared[Item, Result]]:
    """As `read_ahead`, by threads: decoding and scaling leave Python to others, and nothing has to be sent.

    `threads`: None for one a core. `more`: how many items may wait beside those that a thread has before it.
    """
    count = threads or min(MOST_WORKERS, own_cores())
    with memory_kept(), ThreadPoolExecutor(count, thread_name_prefix="reader") as pool:
        try:
            yield from _in_order(pool, items, prepare, count * AHEAD + more)
        finally:
            pool.shutdown(cancel_futures=True)


def _in_order(
    pool: Executor, items: Sequence[Item], prepare: Callable[[Item], Result], ahead: int
) -> Iterator[Prepared[Item, Result]]:
    """Every item prepared, in order; so many are prepared before the first of them is taken."""
    waiting: deque[Future[Prepared[Item, Result]]] = deque()
    for item in items:
        waiting.append(pool.submit(attempt, prepare, item))
        if len(waiting) > ahead:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def chosen_workers(items: int) -> int:
    """Workers for so many items on this machine; 0 where one process is quicker."""
    cores = own_cores()
    return 0 if cores == 1 else min(MOST_WORKERS, cores, items // ITEMS_PER_WORKER)


def batches(
    prepared: Iterator[Prepared[Item, Result]], size: int, on_failure: Callable[[Item, str], None]
) -> Iterator[list[tuple[Item, Result]]]:
    """Groups what could be prepared into batches; what could not goes to `on_failure`."""
    batch: list[tuple[Item, Result]] = []
    for one in prepared:
        if one.result is None:
            on_failure(one.item, one.reason)
            continue
        batch.append((one.item, one.result))
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def let_threads_sleep() -> None:
    """Before torch is imported: its threads sleep while they wait for each other. OpenCV, too, gets no further ones.

    Beside threads that read pictures they would burn several times the seconds that the model itself takes.
    """
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    os.environ.setdefault("OPENCV_FOR_THREADS_NUM", "1")


# Of glibc's malloc.h.
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD, _M_MMAP_MAX = -1, -2, -3, -4
KEPT_BYTES = 256_000_000

# Threads have heaps of this size, and would else hand back each that a large picture leaves free.
THREADS_KEEP_BYTES = 2**26

# What glibc comes to by itself in a process that has freed large pieces; its first values are for small ones.
_USUAL = {_M_MMAP_MAX: 65_536, _M_MMAP_THRESHOLD: 2**25, _M_TRIM_THRESHOLD: 2**26, _M_TOP_PAD: 2**17}


def _begin_worker() -> None:
    """Stop signals reach the whole group: the parent decides what they mean. One whose parent has died ends as well."""
    keep_memory()
    # The workers share the cores already; OpenCV is imported later.
    os.environ["OPENCV_FOR_THREADS_NUM"] = "1"
    for number in stop_signals():
        signal.signal(number, signal.SIG_IGN)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def keep_memory() -> None:
    """Lets a worker use the memory of one picture for the next: to be given zeroed pages takes as long as decoding.

    glibc would hand everything larger than 128 kB back to the system at once.
    """
    if libc := glibc():
        libc.mallopt(_M_MMAP_MAX, 0)
        libc.mallopt(_M_TRIM_THRESHOLD, KEPT_BYTES)
        libc.mallopt(_M_TOP_PAD, THREADS_KEEP_BYTES)


class _Keepers:
    """How many parts of this process have memory kept, each by a thread of its own perhaps."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0

    def come(self) -> None:
        with self._lock:
            self._count += 1
            if self._count == 1:
                keep_memory()

    def leave(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0 and (libc := glibc()):
                for name, value in _USUAL.items():
                    libc.mallopt(name, value)
                libc.malloc_trim(0)


_KEEPERS = _Keepers()


@contextmanager
def memory_kept() -> Iterator[None]:
    """`keep_memory` for a while, in a process that goes on with other work: that finds the memory given back.

    Within another it changes nothing: what reads may be done before what uses it.
    """
    _KEEPERS.come()
    try:
        yield
    finally:
        _KEEPERS.leave()


def glibc() -> Any:
    """The C library, if it is this one: another one has its own ways."""
    libc = ctypes.CDLL(None) if sys.platform.startswith("linux") else None
    return libc if hasattr(libc, "gnu_get_libc_version") else None


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def attempt(prepare: Callable[[Item], Result], item: Item) -> Prepared[Item, Result]:
    """The item prepared, or the reason why it cannot be."""
    try:
        return Prepared(item, prepare(item))
    except UnreadableImage as error:
        return Prepared(item, reason=str(error))
    except OSError as error:
        return Prepared(item, reason=f"it cannot be read ({error.strerror or error})")
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        return Prepared(item, reason="it needs more memory than there is")
