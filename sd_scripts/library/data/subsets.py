"""What is asked for: datasets, each with rules for its batches, and their subsets of pictures. Needs no torch."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import PurePath

from sd_scripts.library.data.buckets import BucketRules
from sd_scripts.library.data.caption_rules import CaptionRules
from sd_scripts.library.data.picture_rules import PictureRules
from sd_scripts.library.errors import BadFile, BadOption, NothingUsable


@dataclass(frozen=True)
class Subset:
    """Pictures that come from one place and are shown alike: those of a metadata file, or of a folder.

    `strength`: how strongly a network changes the model while it learns them.
    `where` names the table of a --dataset_config that says so; it is empty for the command line.
    """

    metadata_file: str | None = None
    image_dir: str | None = None
    where: str = ""
    repeats: int = 1
    captions: CaptionRules = CaptionRules()
    pictures: PictureRules = PictureRules()
    class_tokens: str | None = None
    is_reg: bool = False
    mask_dir: str | None = None
    caption_extension: str = ".caption"
    cache_info: bool = False
    strength: float = 1.0

    @property
    def folder_option(self) -> str:
        """The option or key that names its folder."""
        if self.where:
            return "image_dir"
        return "reg_data_dir" if self.is_reg else "train_data_dir"

    @property
    def name(self) -> str:
        """The last part of its file or folder, which tells nothing of this machine."""
        return PurePath((self.metadata_file or self.image_dir or "").replace("\\", "/")).name


@dataclass(frozen=True)
class Dataset:
    """Subsets that are sorted into the same buckets and batches.

    `rules` are those of the pictures whose sizes were not prepared; None where no resolution is given.
    `own_sizes`: they hold for the prepared ones as well. `held_out_share` of its pictures is not learnt.
    """

    subsets: tuple[Subset, ...]
    rules: BucketRules | None = None
    batch_size: int = 1
    own_sizes: bool = False
    held_out_share: float = 0.0
    held_out_seed: int = 0


@contextmanager
def told_of(where: str) -> Iterator[None]:
    """Errors in the block name the table of the --dataset_config that they come from, where it is one."""
    try:
        yield
    except BadOption as error:
        if not where or error.option == "dataset_config":
            raise
        # The keys of the file are the flags without their dashes.
        raise BadOption("dataset_config", f"{where}: {str(error).replace('--', '')}") from error
    except (BadFile, NothingUsable) as error:
        if not where:
            raise
        raise type(error)(f"{where}: {error}") from error
