"""Reads the pictures that a metadata file names. Needs no torch."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.data.buckets import LATENT_PX, Size
from sd_scripts.library.data.captions import training_text
from sd_scripts.library.data.images import UnreadableImage, image_size
from sd_scripts.library.data.latents_files import LatentsFinder
from sd_scripts.library.data.picture_folder import PictureFolder, nothing_found
from sd_scripts.library.data.subset_reader import SubsetReader, check_sizes
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.metadata import read_entries
from sd_scripts.library.report import Report

HELD_ENTRIES = 200_000
"""What is read of more entries is not held, but read a second time: a million without pictures take too much memory."""

Row = tuple[str, str, list[int] | None]
"""What training takes of an entry: its key, its text, and (width, height) in px where they were prepared."""


@dataclass(frozen=True)
class _Entries:
    """How many entries a file has, how many of them have a train_resolution, and the first one's key.

    `held`: all of them, where they are not too many.
    """

    count: int
    prepared: int
    first: str
    held: list[Row]

    @classmethod
    def of(cls, rows: Iterable[Row]) -> "_Entries":
        count, prepared, first, held = 0, 0, "", list[Row]()
        for row in rows:
            first = first or row[0]
            count += 1
            prepared += row[2] is not None
            if count <= HELD_ENTRIES:
                held.append(row)
            else:
                held.clear()
        return cls(count, prepared, first, held)


class MetadataReader(SubsetReader):
    """Reads the entries of a metadata file one by one."""

    noun = "entries"

    def __init__(self, place: int, dataset: Dataset, subset: Subset, finder: LatentsFinder, report: Report) -> None:
        super().__init__(place, dataset, subset, finder, report)
        self._file = subset.metadata_file or ""
        self._option = "metadata_file" if subset.where else "in_json"
        self._template = self.template
        self._entries = _Entries.of(self._rows())
        if not self._entries.count:
            raise BadOption(
                self._option, f"No data found: {self._file} has no entries. Make it with the merge stages first."
            )
        self._folder = PictureFolder(Path(subset.image_dir) if subset.image_dir else None, subset.folder_option)
        self._size_of: Callable[[str], Size] = finder.known.size_of
        if self._folder.folder and not self._folder.has_latents:
            finder.know_none(self._folder.folder)
            # Nothing is kept from run to run of a folder without latents: nothing need be noted.
            self._size_of = image_size
        self._places: set[str] = set()
        check_sizes(dataset, subset, self._entries.prepared > 0)

    @property
    def total(self) -> int:
        """The entries of the file."""
        return self._entries.count

    @property
    def prepared(self) -> bool:
        """Whether every entry has a train_resolution."""
        return self._entries.prepared == self._entries.count

    def read(self, advance: Callable[[], None]) -> None:
        """Reads every entry."""
        for row in self._entries.held or self._rows():
            self._read_one(*row)
            advance()

    def check_found(self) -> None:
        """Raises BadOption where no entry has its picture."""
        if not self._places:
            raise nothing_found(
                self._entries.count, self._entries.first, self._file, self.subset.image_dir, self.subset.folder_option
            )

    def say_more(self, about: str) -> None:
        """Pictures of the folder that the metadata lacks."""
        if self.template:
            self.say_templates(about)
        unnamed = self._folder.unnamed(self._places)
        if unnamed:
            text = f"{about}Pictures of the folder that the metadata lacks, which are not trained: {unnamed:,}"
            self._report.notice(text, "warning")

    def _rows(self) -> Iterator[Row]:
        shown = self.subset.captions
        for key, entry in read_entries(self._file, self._option):
            text = self._template or training_text(
                entry.get("caption", ""), entry.get("tags", ""), shown.separator, shown.wildcards
            )
            yield key, text, entry.get("train_resolution")

    def _read_one(self, key: str, text: str, sides_px: list[int] | None) -> None:
        picture = self._folder.find(key)
        named = picture or self._folder.latents_place(key)
        if named is None or (picture is None and not self._finder.has_any(named)):
            self.leave_out(key, "have no picture", "there is no picture of this name")
            return
        if named in self._places:
            # As a key that stands there twice does: trained twice, it would count twice, with two texts.
            self.leave_out(key, "name a picture that was named before", "an entry before it names the same picture")
            return
        self._places.add(named)
        if not text:
            self.counts["have no text"] += 1
            return
        place = self._folder.path_of(named)
        try:
            if sides_px is None or self._dataset.own_sizes:
                bucket_px = self.bucket_of(self._size_of(named))
            else:
                bucket_px = prepared_size(key, sides_px)
        except UnreadableImage as error:
            self.leave_out(place, "cannot be read", str(error))
            return
        if not self.add(TrainImage(key, place, text, bucket_px), named, there=picture is not None):
            self.leave_out(key, "have no picture", "there is no picture of this name, and no latents that fit")


def prepared_size(key: str, sides_px: list[int]) -> Size:
    """The bucket that the metadata gives a picture. Errors: BadFile, when it is too small for one."""
    width_px, height_px = sides_px
    if width_px < LATENT_PX or height_px < LATENT_PX:
        raise BadFile(
            f'The metadata\'s entry "{key}" has the train_resolution {sides_px}, which is no width and height.'
        )
    return width_px // LATENT_PX * LATENT_PX, height_px // LATENT_PX * LATENT_PX
