"""Options of the training data."""

from dataclasses import dataclass
from typing import Annotated

from sd_scripts.options.spec import PathTo, Range, Unit, former


@dataclass(kw_only=True)
class DataOptions:
    """Which pictures and texts are learnt, and how they are read."""

    train_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of pictures. Not needed when the metadata names pictures by their full path."""

    dataset_config: Annotated[str | None, PathTo("file")] = None
    """File (TOML or JSON) that describes several datasets, instead of the folders and files named here."""

    dataset_class: str | None = None
    """A class of your own that gives the training data, as module.Class; see docs/dataset_class.md."""

    caption_extension: Annotated[str, *former("caption_extention")] = ".caption"
    """Ending of the caption files in picture folders."""

    cache_info: bool = False
    """Keep sizes and captions of picture folders in a file there: the next start is quicker."""

    debug_dataset: bool = False
    """Show what would be trained (pictures, final captions, token counts, buckets) and end."""

    max_data_loader_n_workers: Annotated[int, Range(low=0, high=1024, zero="read in the main thread")] = 8
    """Readers that prepare the next batches while the model works."""

    persistent_data_loader_workers: bool = False
    """Keep the readers from one epoch to the next instead of starting new ones; matters for short epochs."""


@dataclass(kw_only=True)
class FineTuneDataOptions(DataOptions):
    """Pictures and texts of a metadata file."""

    in_json: Annotated[str | None, PathTo("json_in")] = None
    """Metadata file: which pictures are trained, and their texts."""

    dataset_repeats: Annotated[int, Range(low=1, high=1_000_000)] = 1
    """How often each picture is seen in one epoch."""


@dataclass(kw_only=True)
class DreamBoothDataOptions(DataOptions):
    """Pictures in folders named repeats_words, such as "10_sks dog"."""

    train_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of folders named repeats_words, such as "10_sks dog": the words are the caption where there is no file."""

    reg_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of such folders with regularisation pictures: they show what the model must not forget."""

    prior_loss_weight: Annotated[float, Range(low=0.0)] = 1.0
    """How much the loss of a regularisation picture counts beside that of a training picture."""


@dataclass(kw_only=True)
class EitherDataOptions(FineTuneDataOptions, DreamBoothDataOptions):
    """Pictures and texts of a metadata file, or pictures in folders named repeats_words."""

    train_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of pictures; without in_json, of folders named repeats_words, such as "10_sks dog"."""


@dataclass(kw_only=True)
class ResolutionOptions:
    """The sizes in which pictures are trained when no latents were prepared."""

    resolution: str | None = None
    """Training resolution: width,height, or one number for a square. Not needed for prepared latents."""

    enable_bucket: bool = False
    """Sort pictures into buckets of several aspect ratios instead of cutting all to one size."""

    min_bucket_reso: Annotated[int, Range(low=8, high=16384), Unit("px")] = 256
    """Shortest side of a bucket."""

    max_bucket_reso: Annotated[int, Range(low=8, high=16384), Unit("px")] = 1024
    """Longest side of a bucket."""

    bucket_reso_steps: Annotated[int, Range(low=8, high=16384), Unit("px")] = 64
    """Sides of buckets are multiples of this; itself a multiple of 8."""

    bucket_no_upscale: bool = False
    """Never enlarge a picture: each keeps its size, cut to a multiple of the step."""

    cache_latents: bool = False
    """Make the latents once, before training, and keep them in memory."""

    cache_latents_to_disk: bool = False
    """Make the latents once, before training, and keep them in files beside the pictures for later trainings."""

    skip_cache_check: bool = False
    """Trust latents files by their size alone, without asking whether the picture or the VAE has changed."""

    verify_cache: bool = False
    """Read all pictures and all cached files again, whatever earlier runs found, and make anew what is wrong."""

    vae_batch_size: Annotated[int, Range(low=1, high=4096), Unit("images")] = 1
    """Images that the VAE sees at once while latents are made."""
