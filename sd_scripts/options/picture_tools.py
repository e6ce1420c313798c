"""Options of the tools for folders of pictures: they copy, and never change or move what is there."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sd_scripts.options.latents import BucketOptions
from sd_scripts.options.spec import PathTo, Range, Unit, place


@dataclass(kw_only=True)
class TargetOptions:
    """Folders that hold something already."""

    add_to_existing: bool = False
    """Write into a folder that is not empty; files that are there stay as they are and are counted."""


@dataclass(kw_only=True)
class ResizeFilesOptions:
    """What is read and written."""

    src_img_folder: Annotated[str, *place("src_img_folder"), PathTo("pictures")]
    """Folder of pictures."""

    dst_img_folder: Annotated[str, *place("dst_img_folder"), PathTo("folder")]
    """Folder to write the scaled pictures into, as name+512x512.jpg."""

    save_as_png: bool = False
    """Write .png, which loses nothing and keeps transparency, instead of .jpg."""

    copy_associated_files: bool = False
    """Copy the captions and other files of a picture's name as well, once for each size."""


@dataclass(kw_only=True)
class ResizeSizeOptions:
    """To which sizes pictures are scaled."""

    max_resolution: str = "512x512,384x384,256x256,128x128"
    """Sizes as width x height, with commas between; no copy has more pixels. A smaller picture is not enlarged."""

    divisible_by: Annotated[int, Range(low=1, high=1024), Unit("px")] = 1
    """Cut each side to a multiple of this, from both ends alike."""

    interpolation: Literal["area", "cubic", "lanczos4", "nearest", "linear", "box"] | None = None
    """How pictures are scaled. Empty: area averaging."""


@dataclass(kw_only=True)
class ResizeImagesOptions:
    """Writes copies of pictures, scaled down to one or more sizes."""

    files: ResizeFilesOptions
    size: ResizeSizeOptions = field(default_factory=ResizeSizeOptions)
    target: TargetOptions = field(default_factory=TargetOptions)


@dataclass(kw_only=True)
class GroupFilesOptions:
    """What is read and written."""

    input_folder: Annotated[str, *place("input_folder"), PathTo("pictures")]
    """Folder of pictures."""

    output_folder: Annotated[str, *place("output_folder"), PathTo("folder")]
    """Folder to write into: one folder for each size, such as 640x384."""

    recursive: bool = False
    """Take the pictures of all folders below as well."""

    fit: bool = False
    """Scale and cut the copies to the size of their folder. Without it they are as they were."""


@dataclass(kw_only=True)
class GroupSizeOptions:
    """The size that the buckets are made for."""

    max_resolution: str = "512,512"
    """Resolution whose area no bucket exceeds: width,height, or one number for a square."""


@dataclass(kw_only=True)
class GroupImagesOptions:
    """Copies pictures and their texts into folders by the bucket in which they would be trained."""

    files: GroupFilesOptions
    size: GroupSizeOptions = field(default_factory=GroupSizeOptions)
    buckets: BucketOptions = field(default_factory=BucketOptions)
    target: TargetOptions = field(default_factory=TargetOptions)


@dataclass(kw_only=True)
class BalanceOptions:
    """Finds repeats with which every concept of a dataset weighs alike."""

    folder: Annotated[str, *place("folder"), PathTo("pictures")]
    """Folder of folders of pictures, one for each concept, named repeats_words or just words."""

    output_folder: Annotated[str | None, PathTo("folder")] = None
    """Folder to copy the concepts into, named by their new repeats. Empty: they are only told."""

    showings: Annotated[int | None, Range(low=1, high=10_000_000), Unit("images")] = None
    """How often pictures of one concept are to be shown in an epoch. Empty: as many as the largest concept has."""

    target: TargetOptions = field(default_factory=TargetOptions)


@dataclass(kw_only=True)
class MakeFoldersOptions:
    """Makes the folders that DreamBooth and LoRA trainings read: img, reg, log and model."""

    output_folder: Annotated[str, *place("output_folder"), PathTo("folder")]
    """Folder to make them in."""

    train_pictures: Annotated[str | None, PathTo("pictures")] = None
    """Folder of training pictures; they are copied with their texts into img/40_sks dog."""

    instance_prompt: str | None = None
    """The new word for what is trained, such as sks."""

    class_prompt: str | None = None
    """What kind of thing it is, such as dog."""

    repeats: Annotated[int, Range(low=1, high=1_000_000)] = 40
    """How often each training picture is shown in an epoch."""

    reg_pictures: Annotated[str | None, PathTo("pictures")] = None
    """Folder of regularisation pictures, of the class in general; they are copied into reg/1_dog. Empty: none."""

    reg_repeats: Annotated[int, Range(low=1, high=1_000_000)] = 1
    """How often each regularisation picture is shown in an epoch."""

    target: TargetOptions = field(default_factory=TargetOptions)


@dataclass(kw_only=True)
class EditCaptionFilesOptions:
    """What is read and written."""

    folder: Annotated[str, *place("folder"), PathTo("pictures")]
    """Folder of pictures with their texts."""

    output_folder: Annotated[str | None, PathTo("folder")] = None
    """Folder to write the changed texts into, under their own names."""

    in_place: bool = False
    """Change the texts beside the pictures; what they held is kept in a dated folder of .texts_before."""

    caption_extension: str = ".txt"
    """Ending of the texts: .txt for tags, .caption for captions."""

    recursive: bool = False
    """Take the pictures of all folders below as well."""


@dataclass(kw_only=True)
class EditCaptionTextOptions:
    """What is done with each text, in this order. What a text has already is not added again."""

    find: str | None = None
    """Text to replace, wherever it stands."""

    replace: str = ""
    """What takes its place. Empty: it is removed."""

    trigger_word: str | None = None
    """Tag or tags to stand first, once: the word that calls up what is trained."""

    prefix: str | None = None
    """Text in front of each text, as it is, with its spaces and commas."""

    suffix: str | None = None
    """Text after each text, as it is, with its spaces and commas."""

    text_for_missing: str | None = None
    """Text for pictures that have none, or an empty one; the rest is done to it too. Empty: they stay without."""


@dataclass(kw_only=True)
class EditCaptionsOptions:
    """Adds a trigger word, a prefix or a suffix to all texts of a folder of pictures, or replaces in them."""

    files: EditCaptionFilesOptions
    text: EditCaptionTextOptions = field(default_factory=EditCaptionTextOptions)
    target: TargetOptions = field(default_factory=TargetOptions)
    debug: bool = False
    """Print every text that changes."""
