"""Options of the tools that make the files of a training before it: cache_latents.py, cache_text_encoder_outputs.py."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sd_scripts.options.config_file import ConfigFileOptions
from sd_scripts.options.data import ResolutionOptions
from sd_scripts.options.model import TextEncodingOptions
from sd_scripts.options.output import ConsoleOptions
from sd_scripts.options.spec import PathTo, Range, former


@dataclass(kw_only=True)
class CacheModelOptions:
    """The model that will be trained."""

    pretrained_model_name_or_path: Annotated[str | None, PathTo("model")] = None
    """Base model of the training: a .safetensors or .ckpt file, a diffusers folder or a hub id."""

    v2: bool = False
    """The base model is Stable Diffusion 2. What a file or folder is, is found out; with this, another is refused."""

    sdxl: bool = False
    """The base model is SDXL. What a file or folder is, is found out; with this, another is refused."""

    disable_mmap_load_safetensors: bool = False
    """Read .safetensors files as a whole instead of mapping them into memory: quicker from slow or remote drives."""


@dataclass(kw_only=True)
class CacheDataOptions:
    """The pictures and texts that will be trained, named as in the training."""

    train_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of pictures; without in_json, of folders named repeats_words, such as "10_sks dog"."""

    reg_data_dir: Annotated[str | None, PathTo("pictures")] = None
    """Folder of such folders with regularisation pictures."""

    in_json: Annotated[str | None, PathTo("json_in")] = None
    """Metadata file: which pictures are trained, and their texts."""

    dataset_config: Annotated[str | None, PathTo("file")] = None
    """File (TOML or JSON) that describes several datasets, instead of the folders and files named here."""

    caption_extension: Annotated[str, *former("caption_extention")] = ".caption"
    """Ending of the caption files in picture folders."""

    cache_info: bool = False
    """Keep sizes and captions of picture folders in a file there: the next start is quicker."""

    debug_dataset: bool = False
    """Show what would be trained (pictures, final captions, token counts, buckets) and end."""

    max_data_loader_n_workers: Annotated[int, Range(low=0, high=1024, zero="read in the main thread")] = 8
    """Readers that prepare the next pictures while the model works."""


@dataclass(kw_only=True)
class CachePrecisionOptions:
    """Number formats of the computation."""

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Number format of the computation; the same as in the training."""


@dataclass(kw_only=True)
class CacheTextPrecisionOptions(CachePrecisionOptions):
    """Number formats of the text encoders."""

    fp8_base: bool = False
    """Hold the text encoders in 8 bits, for a network's training with fp8_base."""


@dataclass(kw_only=True)
class CacheVaeOptions:
    """The VAE that makes the latents."""

    vae: Annotated[str | None, PathTo("vae")] = None
    """Another VAE to use instead of the base model's own: a file, a diffusers folder or a hub id."""

    no_half_vae: bool = False
    """Run the VAE in float32 even under mixed precision."""


@dataclass(kw_only=True)
class CacheSizeOptions(ResolutionOptions):
    """The sizes in which pictures will be trained."""

    cache_latents: bool = False
    """Asks for what is done anyway."""

    cache_latents_to_disk: bool = False
    """Asks for what is done anyway: latents are kept in files beside the pictures."""

    skip_cache_check: Annotated[bool, *former("skip_existing")] = False
    """Keep latents files of the right size, without asking whether the picture or the VAE has changed."""

    verify_cache: bool = False
    """Read all pictures and all latents files again, whatever earlier runs found, and make anew what is wrong."""


@dataclass(kw_only=True)
class CachePictureOptions:
    """How pictures will be shown."""

    flip_aug: bool = False
    """Make mirrored latents as well, for a training with flip_aug."""

    alpha_mask: bool = False
    """Keep the pictures' transparency as a mask in the files, for a training with alpha_mask."""

    resize_interpolation: Literal["lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area"] | None = None
    """How pictures are scaled. Empty: area averaging to shrink, Lanczos to enlarge."""


@dataclass(kw_only=True)
class CacheLatentsOptions:
    """Makes the latents of a training before it, in files beside the pictures."""

    model: CacheModelOptions = field(default_factory=CacheModelOptions)
    vae: CacheVaeOptions = field(default_factory=CacheVaeOptions)
    data: CacheDataOptions = field(default_factory=CacheDataOptions)
    resolution: CacheSizeOptions = field(default_factory=CacheSizeOptions)
    pictures: CachePictureOptions = field(default_factory=CachePictureOptions)
    precision: CachePrecisionOptions = field(default_factory=CachePrecisionOptions)
    console: ConsoleOptions = field(default_factory=ConsoleOptions)
    config: ConfigFileOptions = field(default_factory=ConfigFileOptions)


@dataclass(kw_only=True)
class CacheCaptionOptions:
    """How captions are put together. They stay the same each time they are shown."""

    caption_separator: str = ","
    """Text between the parts of a caption."""

    keep_tokens_separator: str = ""
    """A mark in captions, such as |||: parts before it stay in front, parts after a second one at the end."""

    secondary_separator: str | None = None
    """A mark, such as ;;;, between parts that stay together; it becomes caption_separator."""

    caption_prefix: str | None = None
    """Text in front of every caption."""

    caption_suffix: str | None = None
    """Text after every caption."""


@dataclass(kw_only=True)
class CacheFilesOptions:
    """What is kept."""

    cache_text_encoder_outputs: bool = False
    """Asks for what is done anyway."""

    cache_text_encoder_outputs_to_disk: bool = False
    """Asks for what is done anyway: the outputs are kept in files beside the pictures."""

    skip_cache_check: Annotated[bool, *former("skip_existing")] = False
    """Keep files of the right size, without asking whether caption or text encoders have changed."""

    verify_cache: bool = False
    """Read all files again, whatever earlier runs found, and make anew what is wrong."""


@dataclass(kw_only=True)
class CacheTextsOptions:
    """Encodes the captions of a training before it, into files beside the pictures."""

    model: CacheModelOptions = field(default_factory=CacheModelOptions)
    text: TextEncodingOptions = field(default_factory=TextEncodingOptions)
    data: CacheDataOptions = field(default_factory=CacheDataOptions)
    captions: CacheCaptionOptions = field(default_factory=CacheCaptionOptions)
    files: CacheFilesOptions = field(default_factory=CacheFilesOptions)
    precision: CacheTextPrecisionOptions = field(default_factory=CacheTextPrecisionOptions)
    console: ConsoleOptions = field(default_factory=ConsoleOptions)
    config: ConfigFileOptions = field(default_factory=ConfigFileOptions)
