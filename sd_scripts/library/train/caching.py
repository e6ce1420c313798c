"""Latents made once, before training, by all processes together."""

from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sd_scripts.library.data.late_writing import LateMaking, Work
from sd_scripts.library.data.pictures_gone import SourceGone, met, while_there
from sd_scripts.library.data.prefetch import Readers, prefetch
from sd_scripts.library.data.read_ahead import memory_kept
from sd_scripts.library.data.training_data import Item, TrainImage
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted
from sd_scripts.library.team import Team, own_cores


@dataclass(frozen=True)
class Made:
    """What became of an image: what its keeper takes, or the reason why nothing can be made of it."""

    image: int
    latents: Any = None
    reason: str = ""


class Keeper(Protocol):
    """Makes latents and keeps them somewhere."""

    def missing(self) -> list[int]:
        """The images without latents."""

    def load(self, item: Item) -> Any:
        """An image, read. Errors: UnreadableImage."""

    def begin(self, loaded: list[Any]) -> Callable[[], list[Work[Made]]]:
        """Begins the latents of images of one size; what is given waits for them, and says what is to be written."""

    def take(self, made: Made) -> None:
        """Keeps what this or another process made; what has a reason instead is left out of training."""

    def end(self) -> None:
        """All is made, or a stop was asked for."""


def cache_latents(
    keeper: Keeper, images: Sequence[TrainImage], batch_size: int, readers: Readers, team: Team, report: Report
) -> None:
    """Makes the latents that are missing, in batches of one size; leaves out and lists what cannot be read.

    Each process makes its share; all wait where a folder is gone. Ends early when a stop is asked for.
    """
    missing = keeper.missing()
    report.phase("cache_latents", f"Making latents of {counted(len(missing), 'picture')}", len(missing))
    shares = [_batches(images, share, batch_size) for share in _shares(images, missing, team.size)]
    # Every process takes part in every round, with nothing where its share is done.
    rounds = max(map(len, shares), default=0)
    own = shares[team.rank] + [[]] * (rounds - len(shares[team.rank]))
    making = _Making(keeper)
    done = 0

    def load(item: Item) -> Any:
        return while_there(report, images[item.image].path.parent, partial(keeper.load, item))

    def told() -> bool:
        """Takes what all processes have made by now; whether one of them was asked to stop."""
        nonlocal done
        # Rounds go together, so a place that one process cannot write to makes all of them wait.
        while any(team.gather(making.refused)):
            patiently(report, making.refusing, making.write_refused, team)
        answers = team.gather((making.results(), report.stop_asked()))
        for made in (made for results, _ in answers for made in results):
            keeper.take(made)
            if made.reason:
                report.failed_item(images[made.image].key, made.reason)
            done += 1
        report.progress(done, len(missing))
        return any(stop for _, stop in answers)

    # Whoever decodes keeps a core busy: more of them than cores would only hold more pictures.
    loading = prefetch(own, load, Readers(min(readers.count, own_cores())), making.leave_out)
    try:
        # A source that is gone is waited for, unless a stop is asked for.
        with memory_kept(), suppress(SourceGone):
            for _ in own:
                making.add(met(team, partial(next, loading)))
                if told():
                    break
        making.settle()
        told()
    finally:
        making.close()
        keeper.end()


class _Making:
    """What one process makes. Files are written in threads; those that are refused wait for `write_refused`."""

    def __init__(self, keeper: Keeper) -> None:
        self._keeper = keeper
        self._late: LateMaking[Made] = LateMaking(self._written)
        self._refused: list[Work[Made]] = []
        self._results: list[Made] = []

    def add(self, loaded: list[Any]) -> None:
        """Has a batch made."""
        self._late.add(self._keeper.begin(loaded))

    def leave_out(self, item: Item, reason: str) -> None:
        """Of this nothing can be made."""
        self._results.append(Made(item.image, reason=reason))

    @property
    def refused(self) -> bool:
        """Whether there is something that could not be written."""
        return bool(self._refused)

    @property
    def refusing(self) -> Path:
        """The first file of it; nothing in particular where there is none."""
        return _file(self._refused[0]) if self._refused else Path()

    def write_refused(self) -> None:
        """Writes again, in this thread, what its folder refused; what works is not repeated. Errors: BadFile."""
        if self._refused:
            # Several sizes of a picture share a file, which only one may change at a time.
            self._late.settle()
        folder = self.refusing.parent
        while self._refused and self.refusing.parent == folder:
            self._refused[0].write()
            self._results.append(self._refused.pop(0).item)

    def results(self) -> list[Made]:
        """What is done since the last time."""
        results, self._results = self._results, []
        return results

    def settle(self) -> None:
        """Waits until everything is made, and written or refused."""
        self._late.settle()

    def close(self) -> None:
        """Ends the threads."""
        self._late.close()

    def _written(self, work: Work[Made], error: Exception | None) -> None:
        if error is None:
            self._results.append(work.item)
        else:
            self._refused.append(work)


def _file(work: Work[Made]) -> Path:
    return Path(str(work.place))


def _shares(images: Sequence[TrainImage], missing: list[int], processes: int) -> list[list[int]]:
    """The images of each process. All sizes of one picture go to one process: their latents may share a file."""
    places: dict[str, int] = {}
    shares: list[list[int]] = [[] for _ in range(processes)]
    for image in missing:
        place = places.setdefault(str(images[image].path), len(places))
        shares[place % processes].append(image)
    return shares


def _batches(images: Sequence[TrainImage], share: list[int], batch_size: int) -> list[list[Item]]:
    by_size: defaultdict[tuple[int, int], list[Item]] = defaultdict(list)
    for image in share:
        by_size[images[image].bucket_px].append(Item(image, 0))
    groups = by_size.values()
    return [group[start : start + batch_size] for group in groups for start in range(0, len(group), batch_size)]
