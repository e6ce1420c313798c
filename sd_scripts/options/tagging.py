"""Options of the tagging stage: tag_images_by_wd14_tagger.py and tag_images_by_deepdanbooru.py."""

from dataclasses import dataclass, field
from typing import Annotated

from sd_scripts.options.common import LoadingOptions, PicturesOptions, TagFileOptions
from sd_scripts.options.spec import PathTo, Range

Share = Annotated[float, Range(low=0.0, high=1.0)]
OptionalShare = Annotated[float | None, Range(low=0.0, high=1.0)]


@dataclass(kw_only=True)
class Wd14ModelOptions:
    """Which tagger, and where it is kept."""

    repo_id: str = "SmilingWolf/wd-v1-4-convnext-tagger-v2"
    """Hub repository of the tagger. It is downloaded once."""

    model_dir: Annotated[str, PathTo("folder")] = "wd14_tagger_model"
    """Folder that keeps downloaded taggers."""

    force_download: bool = False
    """Download the tagger again even if it is there."""

    onnx: bool = False
    """Accepted for older commands: taggers always run by ONNX."""


@dataclass(kw_only=True)
class Wd14ThresholdOptions:
    """How sure the tagger must be."""

    thresh: Share = 0.35
    """Confidence from which a tag is written. Lower: more tags, more errors."""

    general_threshold: OptionalShare = None
    """Confidence for general tags. Empty: as thresh."""

    character_threshold: OptionalShare = None
    """Confidence for character tags. Empty: as thresh."""

    meta_threshold: OptionalShare = None
    """Confidence for meta tags. Empty: as thresh."""

    model_threshold: OptionalShare = None
    """Confidence for model tags. Empty: as thresh."""

    copyright_threshold: OptionalShare = None
    """Confidence for copyright tags. Empty: as thresh."""

    artist_threshold: OptionalShare = None
    """Confidence for artist tags. Empty: as thresh."""


@dataclass(kw_only=True)
class Wd14TextOptions:
    """How tags become text."""

    undesired_tags: str = ""
    """Tags that are never written, separated by commas."""

    remove_underscore: bool = False
    """Write "long hair" instead of "long_hair"; tags of three characters or fewer stay as they are."""

    append_tags: bool = False
    """Add to the tags that a picture already has, instead of replacing them."""

    frequency_tags: bool = False
    """Print how often each tag was given."""

    use_rating_tags: bool = False
    """Write the rating as the first tag."""

    use_rating_tags_as_last_tag: bool = False
    """Write the rating as the last tag."""

    use_quality_tags: bool = False
    """Write the quality as the first tag, for taggers that know it."""

    use_quality_tags_as_last_tag: bool = False
    """Write the quality as the last tag, for taggers that know it."""

    character_tags_first: bool = False
    """Put character tags before general tags."""

    character_tag_expand: bool = False
    """Split "name_(series)" into two tags, "name" and "series"."""

    always_first_tags: str | None = None
    """Tags that stand at the front whenever they are given, separated by commas."""

    caption_separator: str = ", "
    """Text between tags."""

    tag_replacement: str | None = None
    """Replacements: "tag1,tag2;tag3,tag4" makes tag1 tag2, and tag3 tag4. A backslash keeps , and ; as they are."""


@dataclass(kw_only=True)
class Wd14FileOptions:
    """Where tags are written."""

    output_path: Annotated[str | None, PathTo("json_out")] = None
    """Write all tags into this .json or .jsonl file instead of text files beside the pictures."""


@dataclass(kw_only=True)
class TagByWd14Options:
    """Writes tags beside every picture, with a WD14 tagger."""

    pictures: PicturesOptions
    model: Wd14ModelOptions = field(default_factory=Wd14ModelOptions)
    thresholds: Wd14ThresholdOptions = field(default_factory=Wd14ThresholdOptions)
    text: Wd14TextOptions = field(default_factory=Wd14TextOptions)
    loading: LoadingOptions = field(default_factory=LoadingOptions)
    files: TagFileOptions = field(default_factory=TagFileOptions)
    output: Wd14FileOptions = field(default_factory=Wd14FileOptions)


@dataclass(kw_only=True)
class DeepDanbooruOptions:
    """Which DeepDanbooru project, and how sure it must be."""

    project_path: Annotated[str | None, PathTo("project")] = None
    """DeepDanbooru project folder, with project.json, tags.txt and the model."""

    model_path: Annotated[str | None, PathTo("file")] = None
    """Model file (.h5 or .keras), where it is not the project's own."""

    tags_path: Annotated[str | None, PathTo("file")] = None
    """List of tags, one a line, where it is not the project's own."""

    threshold: Share = 0.5
    """Confidence from which a tag is written."""

    caption_extension: str = ".txt"
    """Ending of the tag files beside the pictures."""


@dataclass(kw_only=True)
class TagByDeepDanbooruOptions:
    """Writes tags beside every picture, with a DeepDanbooru project."""

    pictures: PicturesOptions
    deepdanbooru: DeepDanbooruOptions = field(default_factory=DeepDanbooruOptions)
    loading: LoadingOptions = field(default_factory=LoadingOptions)
