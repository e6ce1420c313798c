"""Latents made once, before training, by all processes together."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from sd_scripts.library.data.pictures_gone import SourceGone, met, while_there
from sd_scripts.library.data.prefetch import Readers, prefetch
from sd_scripts.library.data.training_data import Item, TrainImage
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report
from sd_scripts.library.team import Team


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

    def make(self, loaded: list[Any]) -> list[Made]:
        """The latents of images of one size."""

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
    report.phase("cache_latents", f"Making latents of {len(missing):,} pictures", len(missing))
    shares = [_batches(images, share, batch_size) for share in _shares(images, missing, team.size)]
    # Every process takes part in every round, with nothing where its share is done.
    rounds = max(map(len, shares), default=0)
    own = shares[team.rank] + [[]] * (rounds - len(shares[team.rank]))
    unread: list[Made] = []
    place = images[missing[0]].path if missing else Path()
    done = 0

    def load(item: Item) -> Any:
        return while_there(report, images[item.image].path.parent, partial(keeper.load, item))

    loading = prefetch(own, load, readers, lambda item, reason: unread.append(Made(item.image, reason=reason)))
    try:
        for _ in own:
            loaded = met(team, partial(next, loading))
            # Rounds go together, so a place that one process cannot write to makes all of them wait.
            results = [*unread, *patiently(report, place, partial(keeper.make, loaded), team)]
            unread.clear()
            answers = team.gather((results, report.stop_asked()))
            for made in (made for results, _ in answers for made in results):
                keeper.take(made)
                if made.reason:
                    report.failed_item(images[made.image].key, made.reason)
                done += 1
            report.progress(done, len(missing))
            if any(stop for _, stop in answers):
                return
    except SourceGone:
        # A stop came meanwhile.
        return
    finally:
        keeper.end()


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
