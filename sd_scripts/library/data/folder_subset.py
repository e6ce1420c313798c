"""Reads a folder of pictures with caption files beside them, as DreamBooth has it. Needs no torch."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path

from sd_scripts.library.data.captions import UnreadableText, other_ending, training_text
from sd_scripts.library.data.folder_info import FolderInfo, PictureInfo
from sd_scripts.library.data.images import UnreadableImage, find_images
from sd_scripts.library.data.latents_files import LatentsFinder
from sd_scripts.library.data.subset_reader import SubsetReader, check_sizes
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.report import Report


class FolderReader(SubsetReader):
    """Reads the pictures of a folder, each with its caption file, or with the class_tokens of all."""

    noun = "pictures"

    def __init__(self, place: int, dataset: Dataset, subset: Subset, finder: LatentsFinder, report: Report) -> None:
        super().__init__(place, dataset, subset, finder, report)
        check_sizes(dataset, subset, any_prepared=False)
        self._folder = Path(subset.image_dir or "")
        self._images = find_images(self._folder, option=subset.folder_option)
        self._info = FolderInfo(self._folder, subset.caption_extension, subset.cache_info, finder.known, report)
        self._texts: Counter[str] = Counter()
        self._words = "class_tokens" if subset.where else "the folder's name"

    @property
    def total(self) -> int:
        """The pictures of the folder."""
        return len(self._images)

    def read(self, advance: Callable[[], None]) -> None:
        """Reads sizes and captions."""
        for image in self._images:
            self._read_one(image)
            advance()
        self._info.keep()

    def check_found(self) -> None:
        """Nothing more: there are pictures in the folder."""

    def say_more(self, about: str) -> None:
        """How many captions were found, and what stands in for the others."""
        if self.template:
            self.say_templates(about)
            return
        ending, tokens = self.subset.caption_extension, self.subset.class_tokens
        found = f"{about}{self._texts['file']:,} of {self.total:,} pictures have a {ending} file"
        stand_in = f'; {self._texts["tokens"]:,} without one are called "{tokens}" ({self._words})'
        self._report.say(f"{found}{stand_in if self._texts['tokens'] else ''}.")
        if hint := self.hint():
            self._report.notice(f"{about}{hint}", "warning")

    def hint(self) -> str:
        """That there are caption files of another ending, where those of the right one are missing."""
        other = None if self._texts["file"] else other_ending(self._images, self.subset.caption_extension)
        if not other:
            return ""
        write = f'caption_extension = "{other}"' if self.subset.where else f"--caption_extension {other}"
        return f"There are {other} files, which are not read. Write {write} for them."

    def _read_one(self, path: Path) -> None:
        try:
            info = self._info.of(path)
            bucket_px = self.bucket_of(info.size_px)
        except (UnreadableImage, UnreadableText) as error:
            what = "cannot be read" if isinstance(error, UnreadableImage) else "have a caption that cannot be read"
            self.leave_out(path, what, str(error))
            return
        text = self._text(info)
        if not text:
            ending = self.subset.caption_extension
            others = "no class_tokens are given" if self.subset.where else "its folder's name is not repeats_words"
            reason = f"it has no {ending} file with text, and {others}"
            words = "class_tokens" if self.subset.where else "words in the name of their folder"
            self.leave_out(path, f"have neither a {ending} file nor {words}", reason)
            return
        self.add(TrainImage(str(path), path, text, bucket_px), str(path), there=True)

    def _text(self, info: PictureInfo) -> str:
        if self.template:
            return self.template
        text = training_text(info.caption, "", every_line=self.subset.captions.wildcards)
        self._texts["file" if text else "tokens"] += bool(text or self.subset.class_tokens)
        return text or self.subset.class_tokens or ""
