"""Options of what a training tells: in the terminal, and in the header of the files that it writes."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.spec import PathTo

# A thumbnail stands in every saved file, before its weights; 256 x 256 px are usual.
LARGEST_THUMBNAIL_BYTES = 1_000_000


@dataclass(kw_only=True)
class ConsoleOptions:
    """What the terminal shows. The page and its log of events are told everything, whatever is chosen here."""

    console_log_level: Literal["DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"] | None = None
    """Least important line that is shown: WARNING leaves out progress, ERROR warnings too. Empty: INFO."""

    console_log_file: Annotated[str | None, PathTo("file_out")] = None
    """File to which everything that is shown is added as well, each line with its time and level."""

    console_log_simple: bool = False
    """Plain lines on standard output, also in the log file: no time, no level, no progress rewritten in place."""


@dataclass(kw_only=True)
class AboutOptions:
    """What the header of a saved .safetensors file says of the model (Stability's model-spec 1.0.1)."""

    metadata_title: str | None = None
    """Title of the model. Empty: the name of its file."""

    metadata_author: str | None = None
    """Who made it."""

    metadata_description: str | None = None
    """What it is, in a few sentences."""

    metadata_license: str | None = None
    """Its licence."""

    metadata_tags: str | None = None
    """Tags, separated by commas."""

    metadata_usage_hint: str | None = None
    """How it is best used, in one line."""

    metadata_thumbnail: Annotated[str | None, PathTo("picture")] = None
    """Small picture that stands for the model: a file, or a data: URL."""

    metadata_merged_from: str | None = None
    """Models that it was merged from, separated by commas."""

    metadata_trigger_phrase: str | None = None
    """Words that bring out what it has learnt."""

    metadata_preprocessor: str | None = None
    """What has to be done to a picture before the model is given it."""

    metadata_is_negative_embedding: str | None = None
    """"true" for an embedding that belongs into the negative prompt."""
