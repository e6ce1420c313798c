"""Options of the metadata stage: merging captions and tags into one file, and cleaning them."""

from dataclasses import dataclass, field
from typing import Annotated

from sd_scripts.options.common import CaptionFileOptions, MergeOptions
from sd_scripts.options.spec import PathTo, place


@dataclass(kw_only=True)
class MergeCaptionsOptions:
    """Collects the captions beside the pictures into one metadata file."""

    merge: MergeOptions
    files: CaptionFileOptions = field(default_factory=CaptionFileOptions)


@dataclass(kw_only=True)
class TagEndingOptions:
    """Which files hold the tags."""

    caption_extension: str = ".txt"
    """Ending of the tag files beside the pictures."""


@dataclass(kw_only=True)
class MergeTagsOptions:
    """Collects the tags beside the pictures into one metadata file."""

    merge: MergeOptions
    files: TagEndingOptions = field(default_factory=TagEndingOptions)


@dataclass(kw_only=True)
class CleanOptions:
    """Cleans the captions and tags of a metadata file by rules."""

    in_json: Annotated[str, *place("in_json"), PathTo("json_in")]
    """Metadata file to read."""

    out_json: Annotated[str, *place("out_json"), PathTo("json_out")]
    """Metadata file to write."""

    third_file: Annotated[str | None, *place("third_file")] = None
    """Older commands name the folder of pictures first: with three names, the last two are read and written."""

    rules: Annotated[str | None, PathTo("file")] = None
    """Your own cleaning rules (TOML). Empty: the rules in sd_scripts/library/tagging/cleaning_rules.toml."""

    debug: bool = False
    """Print every text that changes."""
