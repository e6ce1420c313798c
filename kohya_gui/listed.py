"""What the page keeps of a metadata file: each picture's key, and the kind of its entry. Texts are read when asked for.

A million whole entries take a gigabyte; their keys take a tenth of that, and kinds are few.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from sd_scripts.library.data.buckets import Size
from sd_scripts.library.data.caption_rules import CaptionRules
from sd_scripts.library.data.captions import training_text
from sd_scripts.library.errors import UserError
from sd_scripts.library.io.metadata import Entry, read_entries


class Kind(NamedTuple):
    """What entries have in common. `has_text`: a caption or tags, be they spaces; `trained`: there is more in them.

    `prepared_px`: the size that Latents gave the picture.
    """

    has_text: bool
    trained: bool
    prepared_px: Size | None


@dataclass(frozen=True)
class Listed:
    """The entries of a metadata file. `places`: {key: the place of its kind in `kinds`}."""

    path: Path
    places: dict[str, int]
    kinds: tuple[Kind, ...]

    def __len__(self) -> int:
        return len(self.places)

    @property
    def first(self) -> str:
        """The key of the first entry, of which there must be one."""
        return next(iter(self.places))

    @cached_property
    def counts(self) -> Counter[Kind]:
        """How many entries there are of each kind."""
        return Counter({self.kinds[place]: count for place, count in Counter(self.places.values()).items()})

    def kind(self, key: str) -> Kind:
        """What kind of entry a picture has."""
        return self.kinds[self.places[key]]

    def count(self, asked: Callable[[Kind], bool]) -> int:
        """How many entries are of such a kind."""
        return sum(count for kind, count in self.counts.items() if asked(kind))

    def keys(self, asked: Callable[[Kind], bool]) -> list[str]:
        """The keys of the entries of such a kind, in the file's order."""
        such = {place for place, kind in enumerate(self.kinds) if asked(kind)}
        return [key for key, place in self.places.items() if place in such]

    def of_kinds(self) -> Iterator[tuple[str, Kind]]:
        """The keys with their kinds, in the file's order."""
        return ((key, self.kinds[place]) for key, place in self.places.items())

    def texts(self, rules: CaptionRules) -> Iterator[str]:
        """The texts of the entries that have any, read one by one; where captions are templates, all have."""
        # A file that was taken away since has none.
        with suppress(UserError):
            for _, entry in read_entries(self.path):
                text = training_text(entry.get("caption", ""), entry.get("tags", ""), rules.separator, rules.wildcards)
                if text := text or next(iter(rules.templates), ""):
                    yield text


def listed(path: Path) -> Listed:
    """What is kept of a metadata file. Errors: BadOption, BadFile."""
    places: dict[str, int] = {}
    kinds: dict[Kind, int] = {}
    for key, entry in read_entries(path):
        places[key] = kinds.setdefault(_kind(entry), len(kinds))
    return Listed(path, places, tuple(kinds))


def _kind(entry: Entry) -> Kind:
    text = entry.get("caption", "") + entry.get("tags", "")
    sides_px = entry.get("train_resolution")
    return Kind(bool(text), bool(text.strip()), (sides_px[0], sides_px[1]) if sides_px else None)
