"""Options that several preparing stages share."""

from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import PathTo, Range, Unit, former, place


@dataclass(kw_only=True)
class PicturesOptions:
    """Which pictures are worked on."""

    train_data_dir: Annotated[str, *place("train_data_dir"), PathTo("pictures")]
    """Folder of pictures."""

    recursive: bool = False
    """Take the pictures of all folders below as well."""

    skip_described: bool = False
    """Leave out pictures that have their text already, and go on where an earlier run was stopped."""

    fast_decode: bool = False
    """Decode a JPEG at 1/2, 1/4 or 1/8 where that stays larger than needed. The mean difference is below 1 of 255."""

    debug: bool = False
    """Print the result of every picture."""


@dataclass(kw_only=True)
class LoadingOptions:
    """How pictures are read."""

    batch_size: Annotated[int, Range(low=1, high=4096), Unit("images")] = 1
    """Pictures that the model sees at once. More is faster and needs more memory."""

    max_data_loader_n_workers: Annotated[int | None, Range(low=0, high=1024, zero="read in the main process")] = None
    """Worker processes that read pictures while the model works. Empty: chosen by the number of cores."""


@dataclass(kw_only=True)
class CaptionFileOptions:
    """Where captions are written or read."""

    caption_extension: Annotated[str, *former("caption_extention")] = ".caption"
    """Ending of the caption files beside the pictures."""


@dataclass(kw_only=True)
class TagFileOptions:
    """Where tags are written or read."""

    caption_extension: Annotated[str, *former("caption_extention")] = ".txt"
    """Ending of the tag files beside the pictures."""


@dataclass(kw_only=True)
class MergeOptions:
    """From text files beside the pictures into one metadata file."""

    train_data_dir: Annotated[str, *place("train_data_dir"), PathTo("pictures")]
    """Folder of pictures."""

    out_json: Annotated[str, *place("out_json"), PathTo("json_out")]
    """Metadata file to write."""

    in_json: Annotated[str | None, PathTo("json_in")] = None
    """Metadata file to extend. Empty: an existing output file is extended."""

    full_path: bool = False
    """Name pictures by their full path. Needed for several folders and for folders within folders."""

    recursive: bool = False
    """Take the pictures of all folders below as well. Needs full_path."""

    debug: bool = False
    """Print the text of every picture."""
