"""From the metadata's keys to the pictures that they name. Needs no torch."""

import os
import stat
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from sd_scripts.library.data.images import IMAGE_SUFFIXES, image_places
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.metadata import image_key


@dataclass
class PictureFolder:
    """Where keys are looked up: the stems of a folder's pictures, paths within it, and paths of their own."""

    folder: Path | None
    option: str = "train_data_dir"
    _by_stem: dict[str, str] = field(default_factory=dict)
    _twins: dict[str, list[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._head = str(self.folder)
        for picture in self._pictures():
            stem = image_key(picture, full_path=False)
            if self._by_stem.setdefault(stem, picture) is not picture:
                self._twins.setdefault(stem, []).append(picture)

    def find(self, key: str) -> str | None:
        """The picture that a key names: its full path, its stem, or its path below the folder or from here.

        Errors: BadOption, when two pictures share the stem.
        """
        named = self._by_stem.get(key)
        if named:
            if twins := self._twins.get(key):
                raise BadOption(
                    self.option, f'{named} and {twins[0]} are both called "{key}" in the metadata. Rename one of them.'
                )
            return named
        if os.path.isabs(key):
            return str(Path(key)) if _is_file(key) else None
        # Tried as texts: there may be a million keys without a picture.
        below = "" if self.folder is None else os.path.join(self.folder, key)
        tried = [key] if self.folder is None else [below, key, *(below + suffix for suffix in IMAGE_SUFFIXES)]
        found = next(filter(_is_file, tried), None)
        return None if found is None else str(Path(found).absolute() if found is key else Path(found))

    def path_of(self, place: str) -> Path:
        """As a Path; that of the folder is not taken apart again for each of its pictures."""
        head, _, name = place.rpartition(os.sep)
        return self.folder / name if self.folder and head == self._head else Path(place)

    def latents_place(self, key: str) -> str | None:
        """Where the latents of a key would lie whose picture is gone."""
        if os.path.isabs(key):
            return str(Path(key).with_suffix(".npz"))
        return None if self.folder is None else os.path.join(self.folder, f"{key}.npz")

    def unnamed(self, used: set[str]) -> int:
        """How many pictures of the folder are not among those used."""
        return sum(picture not in used for picture in chain(self._by_stem.values(), *self._twins.values()))

    def _pictures(self) -> list[str]:
        if self.folder is None:
            return []
        try:
            return image_places(self.folder, option=self.option)
        except BadOption:
            # Latents alone can be trained, and full paths may lead into folders below.
            if self.folder.is_dir() and any(p.suffix == ".npz" or p.is_dir() for p in self.folder.iterdir()):
                return []
            raise


def _is_file(place: str) -> bool:
    try:
        # A million that are not there are told faster without an error for each.
        return os.access(place, os.F_OK) and stat.S_ISREG(os.stat(place).st_mode)
    except FileNotFoundError:
        return False
    except (OSError, ValueError):
        # Which other errors mean that there is none, pathlib knows.
        return Path(place).is_file()


def nothing_found(
    entries: int, first: str, in_json: str, folder: str | None, option: str = "train_data_dir"
) -> BadOption:
    """The sentence for a metadata file of which no picture is where it should be. `first`: its first key."""
    where, advice = f"in {folder}", "Name the folder that the metadata was made of."
    if os.path.isabs(first):
        option, where = "in_json", "where it says"
        advice = "If the pictures were moved, make the metadata again."
    elif not folder:
        where, advice = "here", f"Add --{option}: the metadata names pictures without their folder."
    return BadOption(
        option,
        f'No data found: {in_json} names {entries:,} pictures, such as "{first}", '
        f"but none of them is {where}. {advice}",
    )
