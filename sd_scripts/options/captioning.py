"""Options of the captioning stage: make_captions.py and make_captions_by_git.py."""

from dataclasses import dataclass, field
from typing import Annotated

from sd_scripts.options.common import CaptionFileOptions, LoadingOptions, PicturesOptions
from sd_scripts.options.spec import PathTo, Range, Unit


@dataclass(kw_only=True)
class BlipOptions:
    """How BLIP writes a sentence."""

    caption_weights: Annotated[str, PathTo("model")] = "Salesforce/blip-image-captioning-large"
    """BLIP model: a hub id, a folder saved by transformers, or the original model_large_caption.pth."""

    beam_search: bool = False
    """Search for the likeliest sentence instead of drawing one: steadier, less varied."""

    num_beams: Annotated[int, Range(low=1, high=1024)] = 1
    """Sentences followed at once by beam search."""

    top_p: Annotated[float, Range(low=0.0, high=1.0)] = 0.9
    """Share of the likeliest words that are drawn from when beam search is off."""

    max_length: Annotated[int, Range(low=1, high=4096), Unit("tokens")] = 75
    """Longest sentence."""

    min_length: Annotated[int, Range(low=0, high=4096), Unit("tokens")] = 5
    """Shortest sentence."""

    seed: Annotated[int, Range(low=0)] = 42
    """The same seed gives the same sentences."""


@dataclass(kw_only=True)
class MakeCaptionsOptions:
    """Writes a sentence beside every picture, with BLIP."""

    pictures: PicturesOptions
    blip: BlipOptions = field(default_factory=BlipOptions)
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    files: CaptionFileOptions = field(default_factory=CaptionFileOptions)


@dataclass(kw_only=True)
class GitOptions:
    """How GIT writes a sentence."""

    model_id: Annotated[str, PathTo("model")] = "microsoft/git-large-textcaps"
    """GIT model: a hub id or a folder saved by transformers."""

    max_length: Annotated[int, Range(low=1, high=4096), Unit("tokens")] = 50
    """Longest sentence."""

    remove_words: bool = False
    """Remove phrases such as "with the word xxx", which this model likes to add."""

    caption_extension: str = ".caption"
    """Ending of the caption files beside the pictures."""


@dataclass(kw_only=True)
class MakeCaptionsByGitOptions:
    """Writes a sentence beside every picture, with GIT."""

    pictures: PicturesOptions
    git: GitOptions = field(default_factory=GitOptions)
    loading: LoadingOptions = field(default_factory=LoadingOptions)
