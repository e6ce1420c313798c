"""Options of captions: how a picture's text becomes the caption that is trained."""

from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import Range, Unit


@dataclass(kw_only=True)
class CaptionOptions:
    """How captions are changed each time they are shown. Folders and files of a dataset_config may have their own."""

    shuffle_caption: bool = False
    """Shuffle the parts of the caption, which are separated by caption_separator."""

    caption_separator: str = ","
    """Text between the parts of a caption."""

    keep_tokens: Annotated[int, Range(low=0), Unit("parts")] = 0
    """This many parts at the front of a caption stay: not shuffled, not dropped."""

    keep_tokens_separator: str = ""
    """A mark in captions, such as |||: parts before it stay in front, parts after a second one at the end."""

    secondary_separator: str | None = None
    """A mark, such as ;;;, between parts that stay together; after shuffling it becomes caption_separator."""

    enable_wildcard: bool = False
    """Choose one of {a|b|c} each time, and one of several lines. {{ and }} are braces."""

    caption_prefix: str | None = None
    """Text in front of every caption."""

    caption_suffix: str | None = None
    """Text after every caption."""

    caption_dropout_rate: Annotated[float, Range(low=0.0, high=1.0)] = 0.0
    """Share of showings in which the caption is left empty, so that the model also learns without a text."""

    caption_dropout_every_n_epochs: Annotated[int, Range(low=1, zero="never"), Unit("epochs")] = 0
    """Leave all captions empty in every epoch whose number (from 1) is a multiple of this."""

    caption_tag_dropout_rate: Annotated[float, Range(low=0.0, high=1.0)] = 0.0
    """Share of parts that are left out of each caption; parts that are kept stay."""

    token_warmup_min: Annotated[int, Range(low=0), Unit("parts")] = 1
    """Parts that are shown at the first step of the warm-up, beside those that are kept."""

    token_warmup_step: Annotated[float, Range(low=0.0, zero="no warm-up"), Unit("steps")] = 0.0
    """The parts of captions come in one by one over this many steps; below 1, over this share of all steps."""
