"""Reading ahead with threads, and with processes."""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from sd_scripts.library.data import read_ahead as reading
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.prefetch import Readers, prefetch
from sd_scripts.library.data.read_ahead import batches, memory_kept, read_ahead, read_in_threads
from sd_scripts.library.data.training_data import Example, Item
from sd_scripts.library.errors import BadOption

PLAN = [[Item(n, 0), Item(n + 1, 0), Item(n + 2, 0)] for n in range(0, 30, 3)]


def load(item: Item) -> Example:
    time.sleep(0.002 * (item.image % 3))
    if item.image in (4, 6, 7, 8):
        raise UnreadableImage("it is broken")
    if item.image == 10:
        raise FileNotFoundError(2, "No such file or directory")
    return Example(item, f"caption {item.image}", latents_CHW=torch.full((4, 1, 1), float(item.image)))


@pytest.mark.parametrize("readers", [0, 1, 5])
def test_the_same_comes_out_for_any_number_of_readers(readers: int) -> None:
    failed: list[tuple[Item, str]] = []
    read = list(prefetch(PLAN, load, Readers(readers), lambda item, reason: failed.append((item, reason))))
    assert [[e.item.image for e in batch] for batch in read][:5] == [[0, 1, 2], [3, 5], [], [9, 11], [12, 13, 14]]
    assert len(read) == len(PLAN)
    assert [item.image for item, _ in failed] == [4, 6, 7, 8, 10]
    assert failed[-1][1] == "it cannot be read (No such file or directory)"


def test_a_fault_of_the_program_is_not_hidden() -> None:
    def broken(item: Item) -> Example:
        raise ZeroDivisionError

    for readers in (0, 2):
        with pytest.raises(ZeroDivisionError):
            list(prefetch(PLAN, broken, Readers(readers), lambda item, reason: None))


def test_it_reads_ahead_but_not_everything_and_ends_its_threads() -> None:
    seen: list[int] = []

    def noted(item: Item) -> Example:
        seen.append(item.image)
        return Example(item, "")

    reading = prefetch([[Item(n, 0)] for n in range(1000)], noted, Readers(3), lambda item, reason: None)
    next(reading)
    until_s = time.monotonic() + 30
    while len(seen) < 2 and time.monotonic() < until_s:
        time.sleep(0.01)
    time.sleep(0.05)
    assert 2 <= len(seen) <= 20
    reading.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("reader")]


def test_readers_may_stay_for_the_next_reading() -> None:
    seen: list[tuple[int, int]] = []

    def noted(item: Item) -> Example:
        seen.append((item.image, threading.get_ident()))
        return Example(item, "")

    readers = Readers(1, keep=True)
    for _ in range(2):
        assert len(list(prefetch(PLAN, noted, readers, lambda item, reason: None))) == len(PLAN)
    early = prefetch(PLAN, noted, readers, lambda item, reason: None)
    next(early)
    early.close()
    assert len({thread for _, thread in seen}) == 1
    before = len(seen)
    time.sleep(0.02)
    assert len(seen) == before
    readers.close()
    assert not [t for t in threading.enumerate() if t.name.startswith("reader")]


def length(path: Path) -> int:
    if "bad" in path.name:
        raise UnreadableImage("it is bad")
    if "end" in path.name:
        os.kill(os.getpid(), signal.SIGKILL)
    return len(path.name)


@pytest.mark.parametrize("workers", [0, 2])
def test_processes_keep_the_order_and_name_failures(workers: int) -> None:
    paths = [Path("a"), Path("bb"), Path("bad"), Path("cccc")]
    read = list(read_ahead(paths, length, workers))
    assert [one.result for one in read] == [1, 2, None, 4]
    assert read[2].reason == "it is bad"
    failed: list[tuple[Path, str]] = []
    grouped = list(batches(iter(read), 2, lambda item, reason: failed.append((item, reason))))
    assert grouped == [[(Path("a"), 1), (Path("bb"), 2)], [(Path("cccc"), 4)]]
    assert failed == [(Path("bad"), "it is bad")]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="no such signal on this system")
def test_a_worker_that_is_killed_is_said() -> None:
    with pytest.raises(BadOption, match="was ended from outside") as caught:
        list(read_ahead([Path("end")], length, 1))
    assert caught.value.option == "max_data_loader_n_workers"


def test_threads_are_no_more_than_workers_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may hold some hundred MB, and a machine may have more cores than that is good for."""
    monkeypatch.setattr(reading, "MOST_WORKERS", 2)
    monkeypatch.setattr(reading, "own_cores", lambda: 8)
    begun, all_asked = threading.Event(), list[int]()

    class Asked(list[int]):
        def __iter__(self) -> Iterator[int]:
            yield from range(6)
            # Each that was asked for until now has a thread of its own, as long as there may be more.
            all_asked.append(sum(thread.name.startswith("reader") for thread in threading.enumerate()))
            begun.set()

    def prepare(item: int) -> int:
        begun.wait()
        return item

    assert [one.result for one in read_in_threads(Asked(), prepare, None, more=6)] == list(range(6))
    assert all_asked == [2]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="it is about glibc")
def test_threads_keep_the_memory_of_large_pictures() -> None:
    """To be given it anew for each picture takes longer than to scale it."""
    import resource

    import numpy as np

    def picture() -> None:
        # Each needs a heap of its own.
        [np.full(40_000_000, 1, np.uint8) for _ in range(2)]

    def faults() -> None:
        picture()
        before = resource.getrusage(resource.RUSAGE_THREAD).ru_minflt
        picture()
        found.append(resource.getrusage(resource.RUSAGE_THREAD).ru_minflt - before)

    found: list[int] = []
    with memory_kept():
        # A part that is done before, as readers are before the model.
        with memory_kept():
            pass
        thread = threading.Thread(target=faults)
        thread.start()
        thread.join()
    assert found[0] < 10
