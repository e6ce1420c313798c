"""Processes that each do a share of the work by themselves, and meet at its end. Needs no torch for one process.

Where training's processes go step by step, those of the stages before it need not wait for each other: a folder is
split, each process works through its share at its own speed, and at the end the first one tells what all have done.
All that they have in common is the launcher's store of short texts; no process group is made, so nothing times out.
"""

import os
import pickle
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, TypeVar

from sd_scripts.library import systems
from sd_scripts.library.errors import UserError
from sd_scripts.library.report import Report
from sd_scripts.library.systems import ProcessId
from sd_scripts.library.team import Team, launched

T = TypeVar("T")
Options = TypeVar("Options")

TELL_EVERY_S = 0.3
LOOK_EVERY_S = 0.05
# A store that is asked for what is there answers at once; it begins where the first process does.
ANSWER_WITHIN = timedelta(minutes=10)


class LeftAlone(UserError):
    """Another process ended before its share was done."""

    exit_code = 1


@dataclass(frozen=True)
class Together(Team):
    """A team by way of a store (torch.distributed.Store)."""

    store: Any = None
    _rounds: list[int] = field(default_factory=lambda: [0])
    _heard: "_Heard" = field(default_factory=lambda: _Heard())

    def gather(self, own: T) -> list[T]:
        """Every process's value, in all of them; each must call it. Errors: LeftAlone."""
        self._rounds[0] += 1
        number = self._rounds[0]
        self.store.set(_key("round", number, self.rank), pickle.dumps(own))
        return [pickle.loads(self._wait_for(_key("round", number, rank), rank)) for rank in range(self.size)]

    def agree(self, own: T) -> T:
        """The main process's value, in all of them; each must call it. Errors: LeftAlone."""
        return self.gather(own)[0]

    def come_to(self, phase: int, done: int, total: int | None) -> tuple[int, int | None]:
        """Tells how far this process is; adds, in the first one, how far the others are."""
        heard = self._heard
        if heard.due(phase, finished=done == total):
            self.store.set(_key("phase", phase, self.rank), f"{done} {total or 0}")
            ranks = [rank for rank in range(self.size) if rank != self.rank] if self.first else []
            found = [self._found(_key("phase", phase, rank)).split() for rank in ranks]
            heard.others = [(int(far), int(of)) for far, of in filter(None, found)]
        all_done = done + sum(far for far, _ in heard.others)
        return all_done, None if total is None else total + sum(of for _, of in heard.others)

    def stopped(self, own: bool) -> bool:
        """Whether any process was asked to stop: all of them then do."""
        heard = self._heard
        if own and not heard.told_stop:
            heard.told_stop = True
            self.store.set("stop", "1")
        elif not own and not heard.stop and time.monotonic() - heard.asked_s > TELL_EVERY_S:
            heard.asked_s = time.monotonic()
            heard.stop = self.store.check(["stop"])
        return own or heard.stop

    def in_turn(self, work: Callable[[], Any]) -> None:
        """Does what only one process may do at a time."""
        mine = str(self.rank).encode()
        while self.store.compare_set("turn", "", mine.decode()) != mine:
            time.sleep(LOOK_EVERY_S)
        try:
            work()
        finally:
            self.store.compare_set("turn", mine.decode(), "")

    def told(self, text: str) -> str:
        """A sentence about this process's share."""
        return f"{text} (the share of one of {self.size} processes)"

    def come_as(self, own: ProcessId | None) -> None:
        """Says that this process is there, and which of its machine it is."""
        self.store.set(_key("here", self.rank), pickle.dumps((socket.gethostname(), own)))

    def leave(self) -> None:
        """Waits until everybody has read what the first process may hold: the store may end with it."""
        self.store.set(_key("left", self.rank), "1")
        for rank in range(self.size) if self.first else ():
            self._wait_for(_key("left", rank), rank)

    def _wait_for(self, key: str, rank: int) -> bytes:
        """What a process puts there, however long it takes, as long as it lives. Errors: LeftAlone."""
        while not self.store.check([key]):
            if self._is_gone(rank) and not self.store.check([key]):
                sentence = f"Process {rank + 1} of {self.size} has ended before its share was done"
                raise LeftAlone(f"{sentence}. What was made is kept: start again for the rest.")
            time.sleep(LOOK_EVERY_S)
        return bytes(self.store.get(key))

    def _is_gone(self, rank: int) -> bool:
        """As far as can be seen from here: processes of other machines are their launcher's matter."""
        if not self.store.check([_key("here", rank)]):
            return False
        host, process = pickle.loads(self.store.get(_key("here", rank)))
        return host == socket.gethostname() and isinstance(process, ProcessId) and not systems.is_alive(process)

    def _found(self, key: str) -> str:
        return self.store.get(key).decode() if self.store.check([key]) else ""


def _key(*words: str | int) -> str:
    return "/".join(map(str, words))


@dataclass
class _Heard:
    """What was told and heard last, so that the store is not asked for every picture."""

    phase: int = 0
    others: list[tuple[int, int]] = field(default_factory=list)
    told_s: float = 0.0
    asked_s: float = 0.0
    told_stop: bool = False
    stop: bool = False

    def due(self, phase: int, finished: bool) -> bool:
        """Whether it is time to tell and to ask again."""
        if phase != self.phase:
            self.phase, self.others = phase, []
        elif not finished and time.monotonic() - self.told_s < TELL_EVERY_S:
            return False
        self.told_s = time.monotonic()
        return True


def shared(work: Callable[[Options, Report], None]) -> Callable[[Options, Report], None]:
    """Work that splits what it does by `report.team`, by as many processes as were launched: one report tells of it."""

    def work_together(options: Options, report: Report) -> None:
        if launched().size == 1:
            work(options, report)
            return
        with joined() as team:
            own = report if team.first else report.unheard()
            own.team = team
            work(options, own)

    return work_together


@contextmanager
def joined() -> Iterator[Together]:
    """This process's place among those that a launcher started. Errors: LeftAlone."""
    # torch's launchers all tell by the same variables how the processes find each other.
    from torch.distributed import PrefixStore, rendezvous

    store, rank, size = next(rendezvous("env://", timeout=ANSWER_WITHIN))
    team = Together(rank, size, PrefixStore("shared", store))
    team.come_as(systems.identify(os.getpid()))
    yield team
    team.leave()
