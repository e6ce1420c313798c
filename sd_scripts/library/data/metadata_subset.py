"""Reads the pictures that a metadata file names. Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.data.buckets import LATENT_PX, Size
from sd_scripts.library.data.captions import training_text
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.latents_files import LatentsFinder
from sd_scripts.library.data.picture_folder import PictureFolder, nothing_found
from sd_scripts.library.data.subset_reader import SubsetReader, check_sizes
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.metadata import Entry, read_entries
from sd_scripts.library.report import Report


@dataclass(frozen=True)
class _Entries:
    """How many entries a file has, how many of them have a train_resolution, and the first one's key.

    The file is looked through for these, and read once more: to hold a million entries takes a gigabyte.
    """

    count: int
    prepared: int
    first: str

    @classmethod
    def of(cls, file: str, option: str) -> "_Entries":
        count, prepared, first = 0, 0, ""
        for key, entry in read_entries(file, option):
            first = first or key
            count += 1
            prepared += "train_resolution" in entry
        return cls(count, prepared, first)


class MetadataReader(SubsetReader):
    """Reads the entries of a metadata file one by one."""

    noun = "entries"

    def __init__(self, place: int, dataset: Dataset, subset: Subset, finder: LatentsFinder, report: Report) -> None:
        super().__init__(place, dataset, subset, finder, report)
        self._file = subset.metadata_file or ""
        self._option = "metadata_file" if subset.where else "in_json"
        self._entries = _Entries.of(self._file, self._option)
        if not self._entries.count:
            raise BadOption(
                self._option, f"No data found: {self._file} has no entries. Make it with the merge stages first."
            )
        self._folder = PictureFolder(Path(subset.image_dir) if subset.image_dir else None, subset.folder_option)
        self._places: set[str] = set()
        self._template = self.template
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
        for key, entry in read_entries(self._file, self._option):
            self._read_one(key, entry)
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

    def _read_one(self, key: str, entry: Entry) -> None:
        picture = self._folder.find(key)
        named = picture or self._folder.latents_place(key)
        if named is None or (picture is None and not self._finder.has_any(named)):
            self.leave_out(key, "have no picture", "there is no picture of this name")
            return
        self._places.add(named)
        shown = self.subset.captions
        text = self._template or training_text(
            entry.get("caption", ""), entry.get("tags", ""), shown.separator, shown.wildcards
        )
        if not text:
            self.counts["have no text"] += 1
            return
        place = self._folder.path_of(named)
        try:
            bucket_px = self._bucket(key, entry, named)
        except UnreadableImage as error:
            self.leave_out(place, "cannot be read", str(error))
            return
        if not self.add(TrainImage(key, place, text, bucket_px), named, there=picture is not None):
            self.leave_out(key, "have no picture", "there is no picture of this name, and no latents that fit")

    def _bucket(self, key: str, entry: Entry, place: str) -> Size:
        if "train_resolution" in entry and not self._dataset.own_sizes:
            return prepared_size(key, entry)
        return self.bucket_of(self._finder.known.size_of(place))


def prepared_size(key: str, entry: Entry) -> Size:
    """The bucket that the metadata gives a picture. Errors: BadFile, when it is no size."""
    sides = entry["train_resolution"]
    if len(sides) != 2 or min(sides) < LATENT_PX:
        raise BadFile(f'The metadata\'s entry "{key}" has the train_resolution {sides}, which is no width and height.')
    return sides[0] // LATENT_PX * LATENT_PX, sides[1] // LATENT_PX * LATENT_PX
