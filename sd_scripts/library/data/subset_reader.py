"""What readers of subsets share: the pictures found, and an account of what cannot be trained. Needs no torch."""

from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sd_scripts.library.data.buckets import Size, too_small
from sd_scripts.library.data.caption_rules import idle_options
from sd_scripts.library.data.faces import face_of
from sd_scripts.library.data.images import UnreadableImage
from sd_scripts.library.data.latents_files import NO_LATENTS, LatentsFiles, LatentsFinder
from sd_scripts.library.data.masks import MaskFolder
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.errors import BadOption, NothingUsable
from sd_scripts.library.report import Report


@dataclass(frozen=True, slots=True)
class Picture:
    """An image with where it belongs. `dataset` counts the datasets from 0; `repeats` 0: it is not shown at all."""

    image: TrainImage
    dataset: int
    subset: Subset
    repeats: int = 1
    latents: LatentsFiles = NO_LATENTS
    mask: Path | None = None


def check_sizes(dataset: Dataset, subset: Subset, any_prepared: bool) -> None:
    """The pictures of a subset have sizes: from a resolution, or some prepared in the metadata. Errors: BadOption."""
    if dataset.rules is not None:
        return
    if subset.metadata_file is None:
        raise BadOption("resolution", "resolution is needed, such as 512: the pictures of a folder have no sizes.")
    if not any_prepared:
        raise BadOption(
            "resolution",
            f"--resolution is needed, such as 512,512: {subset.metadata_file} has no prepared sizes. "
            "Or make latents first, with prepare_buckets_latents.py.",
        )


class SubsetReader(ABC):
    """Reads the pictures of one subset, and keeps account of those that cannot be trained."""

    noun: str
    """What it reads, in words: "entries" or "pictures"."""

    def __init__(self, place: int, dataset: Dataset, subset: Subset, finder: LatentsFinder, report: Report) -> None:
        self.pictures: list[Picture] = []
        self.counts: Counter[str] = Counter()
        self.subset = subset
        self.place = place
        self._dataset = dataset
        self._finder = finder
        self._report = report
        self.misfits: Counter[str] = Counter()
        self._masks = MaskFolder(Path(subset.mask_dir)) if subset.mask_dir else None

    @property
    @abstractmethod
    def total(self) -> int:
        """How many there are to read."""

    @property
    def template(self) -> str:
        """The caption that stands for those of all pictures; empty where each has its own."""
        return next(iter(self.subset.captions.templates), "")

    @property
    def prepared(self) -> bool:
        """Whether all of them have sizes that were prepared."""
        return False

    @abstractmethod
    def read(self, advance: Callable[[], None]) -> None:
        """Reads them all, one `advance` each."""

    @abstractmethod
    def check_found(self) -> None:
        """Raises BadOption where the pictures are not where they should be."""

    def finish(self, named: bool) -> None:
        """Says what the user should know of the subset; `named`: with its name, as there are others.

        Errors: BadOption, NothingUsable, when there is nothing to train.
        """
        self.check_found()
        if not self.pictures:
            source = self.subset.metadata_file or self.subset.image_dir
            found = f"No data found: {source} has {self.total:,} {self.noun}, of which {self._told()}."
            raise NothingUsable(" ".join(filter(None, (found, self.hint()))))
        about = f"{self.subset.name}: " if named else ""
        if named:
            self._report.say(f"{about}{len(self.pictures):,} pictures.")
        self.say_more(about)
        if self._masks:
            self._say_masks(about)
        if self.counts:
            self._report.notice(f"{about}{self.noun.capitalize()} left out: {self._told()}.", "warning")
        dashes = "" if self.subset.where else "--"
        if self.subset.pictures.face_crop_aug_range and not any(face_of(p.image.path) for p in self.pictures):
            text = "face_crop_aug_range changes nothing: no picture is named like name_x_y_width_height.png."
            self._report.notice(f"{about}{dashes}{text}", "warning")
        for option, needed in idle_options(self.subset.captions).items():
            others = " or ".join(f"{dashes}{name}" for name in needed)
            self._report.notice(f"{about}{dashes}{option} changes nothing without {others}.", "warning")

    def say_more(self, about: str) -> None:
        """What else there is to say of this kind of subset; every sentence begins with `about`."""
        return

    def hint(self) -> str:
        """What would let pictures be found that are not; empty where nothing is known."""
        return ""

    def say_templates(self, about: str) -> None:
        """That the pictures' own texts are not used."""
        count = len(self.subset.captions.templates)
        self._report.say(f'{about}Captions are drawn from {count} templates, such as "{self.template}".')

    def add(self, image: TrainImage, place: str, there: bool) -> bool:
        """Takes a picture in, with its latents; False where there is neither the picture nor latents that fit.

        `place`: its path as text, which takes longer to make of a Path than to look for latents.
        """
        latents = self._latents(image) if self._finder.suffix and self._finder.has_any(place) else NO_LATENTS
        if not there and latents.plain is None:
            return False
        if latents.misfit:
            self.misfits[latents.misfit] += 1
        mask = self._masks.of(image.path) if self._masks else None
        self.pictures.append(Picture(image, self.place, self.subset, self.subset.repeats, latents, mask))
        return True

    def _latents(self, image: TrainImage) -> LatentsFiles:
        rules = self.subset.pictures
        expected = self._finder.expected(image.path, image.bucket_px, rules, self._dataset.rules)
        found = self._finder.of(image.path, image.bucket_px, expected)
        if rules.changing and found.plain:
            return LatentsFiles(misfit=f"--{rules.changing[0]} shows pictures differently each time")
        return found

    def leave_out(self, item: str | Path, what: str, reason: str) -> None:
        """Counts and lists a picture that cannot be trained."""
        self.counts[what] += 1
        self._report.failed_item(item, reason)

    def bucket_of(self, size_px: Size) -> Size:
        """The bucket of a picture. Errors: UnreadableImage."""
        rules = self._dataset.rules
        if rules is None:
            raise UnreadableImage("its size was not prepared, and no --resolution is given")
        fit = rules.fit(size_px)
        if fit is None:
            raise UnreadableImage(too_small(rules.step_px))
        return fit.bucket_px

    def _say_masks(self, about: str) -> None:
        found, total = sum(picture.mask is not None for picture in self.pictures), len(self.pictures)
        text = f"{about}{found:,} of {total:,} pictures have a mask"
        if found == total:
            self._report.say(f"{text}.")
        else:
            self._report.notice(f"{text}; of the others every place counts.", "warning")

    def _told(self) -> str:
        """What became of those that are left out, in words."""
        return ", ".join(f"{count:,} {what}" for what, count in self.counts.items())
