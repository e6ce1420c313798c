"""Keys of a --dataset_config: those of its own, beside the options that may stand in it under their own names."""

from dataclasses import dataclass, field
from typing import Annotated

from sd_scripts.options.captions import CaptionOptions
from sd_scripts.options.data import ResolutionOptions
from sd_scripts.options.pictures import PictureOptions
from sd_scripts.options.spec import PathTo, Range, Unit
from sd_scripts.options.validation import HeldOutOptions


@dataclass(kw_only=True)
class SourceKeys:
    """Where the pictures of a subset come from."""

    image_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of pictures."""

    metadata_file: Annotated[str | None, PathTo("json_in")] = None
    """Metadata file that names the pictures and their texts."""

    conditioning_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of masks, named as the pictures; for --masked_loss."""


@dataclass(kw_only=True)
class FolderKeys:
    """Texts of a folder of pictures without metadata."""

    class_tokens: str | None = None
    """Caption of the pictures that have no caption file."""

    is_reg: bool = False
    """Regularisation pictures: they show what the model must not forget."""

    caption_extension: str = ".caption"
    """Ending of the caption files beside the pictures."""

    cache_info: bool = False
    """Keep sizes and captions in a file in the folder."""


@dataclass(kw_only=True)
class CountKeys:
    """Numbers that have another name on the command line."""

    num_repeats: Annotated[int, Range(low=1, high=1_000_000)] = 1
    """How often each picture is seen in one epoch: --dataset_repeats."""

    batch_size: Annotated[int, Range(low=1, high=4096), Unit("images")] = 1
    """Images per step and device: --train_batch_size."""


@dataclass(kw_only=True)
class NetworkKeys:
    """What only trainings of networks have."""

    network_multiplier: float = 1.0
    """How strongly the network changes the model while it learns these pictures."""


@dataclass(kw_only=True)
class DatasetConfigKeys:
    """Every key that a dataset or a subset may have."""

    source: SourceKeys = field(default_factory=SourceKeys)
    folder: FolderKeys = field(default_factory=FolderKeys)
    counts: CountKeys = field(default_factory=CountKeys)
    network: NetworkKeys = field(default_factory=NetworkKeys)
    captions: CaptionOptions = field(default_factory=CaptionOptions)
    pictures: PictureOptions = field(default_factory=PictureOptions)
    resolution: ResolutionOptions = field(default_factory=ResolutionOptions)
    held_out: HeldOutOptions = field(default_factory=HeldOutOptions)


PATH_KEYS = ("image_dir", "metadata_file", "conditioning_data_dir")
"""They stand in a subset only."""

FOLDER_KEYS = ("class_tokens", "is_reg", "caption_extension", "cache_info")
"""They mean something for folders without metadata only."""

DATASET_KEYS = (
    "resolution", "batch_size", "enable_bucket", "min_bucket_reso", "max_bucket_reso", "bucket_reso_steps",
    "bucket_no_upscale", "validation_split", "validation_seed",
)  # fmt: skip
"""They hold for a whole dataset: not in a subset."""

RUN_OPTIONS = (
    "cache_latents", "cache_latents_to_disk", "skip_cache_check", "verify_cache", "vae_batch_size", "weighted_captions",
)  # fmt: skip
"""Options in the groups above that hold for the whole run: only on the command line."""

REFUSED_KEYS = {
    "custom_attributes": "is for training methods that read it, and none here does. Leave it out.",
}
"""Keys that other trainers know, and why they are refused here."""
