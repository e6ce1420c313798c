"""The windows of an epoch, loaded: what one process of several learns from."""

from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from dataclasses import dataclass, field
from functools import partial
from typing import cast

from sd_scripts.library.data.pictures_gone import met, while_there
from sd_scripts.library.data.prefetch import Readers, prefetch
from sd_scripts.library.data.training_data import Example, Item, Moment, TrainingData
from sd_scripts.library.report import Report
from sd_scripts.library.team import ALONE, Team
from sd_scripts.library.train.course import Window


@dataclass(frozen=True)
class Loaded:
    """One process's part of a batch. `ghost`: an item of another process, so that all have work; it does not count."""

    examples: list[Example]
    ghost: bool = False


NO_READERS = Readers(0)


@dataclass(frozen=True)
class Feed:
    """Loads this process's items; what cannot be loaded is left out, counted and listed once.

    `fetch` takes the caption of each, so that what belongs to it is read by the readers too.
    """

    data: TrainingData
    report: Report
    readers: Readers = NO_READERS
    team: Team = ALONE
    fetch: Callable[[str], None] | None = None
    told: set[int] = field(default_factory=set)

    def windows(self, planned: list[Window], first: Moment) -> Generator[list[Loaded]]:
        """Each window's batches, without what cannot be loaded; `first` is the moment of the first window.

        Processes begin a window together, so that all wait where one waits for its pictures. Errors: SourceGone.
        """
        batches = [self._share(batch) for window in planned for batch in window]
        # An item is shown once an epoch, so its step is known by it.
        steps = {item: first.step + ahead for ahead, window in enumerate(planned) for b in window for item in b}

        def load(item: Item) -> Example:
            example = self._load(item, first._replace(step=steps[item]))
            if self.fetch:
                self.fetch(example.caption)
            return example

        # prefetch is a generator; closing it ends its readers.
        loading = cast("Generator[list[Example]]", prefetch(batches, load, self.readers, self._failed))
        with closing(loading):
            for window in planned:
                yield met(self.team, partial(self._loaded, loading, window))

    def _loaded(self, loading: Iterator[list[Example]], window: Window) -> list[Loaded]:
        return [Loaded(next(loading), ghost=len(batch) <= self.team.rank) for batch in window]

    def _load(self, item: Item, moment: Moment) -> Example:
        folder = self.data.images[item.image].path.parent
        return while_there(self.report, folder, lambda: self.data.load(item, moment))

    def _share(self, batch: list[Item]) -> list[Item]:
        return batch[self.team.rank :: self.team.size] or batch[:1]

    def _failed(self, item: Item, reason: str) -> None:
        if item.image not in self.told:
            self.told.add(item.image)
            self.report.failed_item(self.data.images[item.image].key, reason)
