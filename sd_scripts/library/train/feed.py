"""The windows of an epoch, loaded: what one process of several learns from."""

from collections.abc import Generator
from dataclasses import dataclass

from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.training_data import Example, Item, TrainingData
from sd_scripts.library.report import Report
from sd_scripts.library.train.course import Window


@dataclass(frozen=True)
class Loaded:
    """One process's part of a batch. `ghost`: an item of another process, so that all have work; it does not count."""

    examples: list[Example]
    ghost: bool = False


@dataclass(frozen=True)
class Feed:
    """Loads items for process `rank` of `processes`; what cannot be loaded is left out, counted and listed once."""

    data: TrainingData
    report: Report
    workers: int = 0
    rank: int = 0
    processes: int = 1

    def windows(self, planned: list[Window], epoch: int, seed: int) -> Generator[list[Loaded]]:
        """Each window's batches, without what cannot be loaded."""
        for window in planned:
            yield [self._load(batch, epoch, seed) for batch in window]

    def _load(self, batch: list[Item], epoch: int, seed: int) -> Loaded:
        own = batch[self.rank :: self.processes]
        loaded = [self._load_one(item, epoch, seed) for item in own or batch[:1]]
        return Loaded([example for example in loaded if example is not None], ghost=not own)

    def _load_one(self, item: Item, epoch: int, seed: int) -> Example | None:
        try:
            return self.data.load(item, epoch, seed)
        except UnreadableImage as error:
            self.report.failed_item(self.data.images[item.image].key, str(error))
            return None
