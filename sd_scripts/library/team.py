"""The processes that work together. Needs no torch, but to talk to each other."""

import functools
import math
import os
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")


@dataclass(frozen=True)
class Team:
    """How many processes there are, and which of them this one is."""

    rank: int = 0
    size: int = 1

    @property
    def first(self) -> bool:
        """Whether this process is the one that speaks for all."""
        return self.rank == 0

    def gather(self, own: T) -> list[T]:
        """Every process's value, in all of them; each must call it. The values must be picklable."""
        if self.size == 1:
            return [own]
        from accelerate.utils import gather_object

        return list(gather_object([own]))

    def agree(self, own: T) -> T:
        """The main process's value, in all of them; each must call it. It must be picklable."""
        if self.size == 1:
            return own
        from accelerate.utils import broadcast_object_list

        agreed: T = broadcast_object_list([own])[0]
        return agreed

    def any(self, own: bool) -> bool:
        """Whether it is so in any process; each must call it, and may come as late as it likes."""
        if self.size == 1:
            return own
        import torch

        found = torch.tensor(own, dtype=torch.int32)
        torch.distributed.all_reduce(found, torch.distributed.ReduceOp.MAX, group=_patient_group())
        return bool(found)

    def share(self, items: Sequence[T], together: Callable[[T], Hashable] | None = None) -> list[T]:
        """The items of this process: every so-manyth, so that shares are alike whatever the order means.

        What is the same to `together` falls to one process.
        """
        if together is None or self.size == 1:
            return list(items[self.rank :: self.size])
        places: dict[Hashable, int] = {}
        placed = [(places.setdefault(together(item), len(places)), item) for item in items]
        return [item for place, item in placed if place % self.size == self.rank]

    # What follows is for processes that work apart and meet at the end (together.py): alone there is nobody to ask.

    def come_to(self, phase: int, done: int, total: int | None) -> tuple[int, int | None]:
        """How far all are in their `phase`th phase, as far as this process need know it."""
        return done, total

    def stopped(self, own: bool) -> bool:
        """Whether any process was asked to stop; `own`: whether this one was."""
        return own

    def in_turn(self, work: Callable[[], Any]) -> None:
        """Does what only one process may do at a time."""
        work()

    def told(self, text: str) -> str:
        """A sentence about this process's share, which says so."""
        return text


ALONE = Team()

_PATIENCE = timedelta(days=365)


@functools.cache
def _patient_group() -> Any:
    """All processes by their processors, without an end to how long they wait for each other."""
    from torch import distributed

    return distributed.new_group(backend="gloo", timeout=_PATIENCE)


_supposed: ContextVar[int | None] = ContextVar("supposed", default=None)


@contextmanager
def as_if_launched(size: int) -> Iterator[None]:
    """Within, options are judged as in so many processes: by the page, which only has them started."""
    token = _supposed.set(size)
    try:
        yield
    finally:
        _supposed.reset(token)


def launched() -> Team:
    """The team as a launcher says it; one process by itself is the first of one."""
    if supposed := _supposed.get():
        return Team(size=supposed)
    return Team(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def local_rank() -> int:
    """The number of this process on its machine, which is that of its GPU."""
    return int(os.environ.get("LOCAL_RANK", "0"))


def own_cores(groups: Path = Path("/sys/fs/cgroup")) -> int:
    """This process's part of the cores that it may use. `groups`: where Linux tells of a container's limit."""
    usable = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    usable = min(usable, _granted_cores(groups) or usable)
    return max(1, usable // int(os.environ.get("LOCAL_WORLD_SIZE", "1")))


def _granted_cores(groups: Path) -> int | None:
    """Cores whose time a container is given (docker run --cpus), the last in part; None where there is no limit."""
    # Since 2016, and before: microseconds of each period (Linux, cgroup-v2.rst and scheduler/sched-bwc.rst).
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):
        # "max", which is no number, is no limit; nor is -1.
        with suppress(OSError, ValueError):
            granted_us, period_us = (int(word) for file in files for word in (groups / file).read_text().split())
            if granted_us > 0:
                return math.ceil(granted_us / period_us)
    return None
