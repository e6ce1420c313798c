"""Options of the latents stage: prepare_buckets_latents.py."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sd_scripts.options.common import LoadingOptions
from sd_scripts.options.spec import PathTo, Range, Unit, place


@dataclass(kw_only=True)
class LatentsFilesOptions:
    """What is read and written."""

    train_data_dir: Annotated[str, *place("train_data_dir"), PathTo("pictures")]
    """Folder of pictures. The latents are written beside them."""

    in_json: Annotated[str, *place("in_json"), PathTo("json_in")]
    """Metadata file to read."""

    out_json: Annotated[str, *place("out_json"), PathTo("json_out")]
    """Metadata file to write: the training stage reads it."""

    model_name_or_path: Annotated[str, *place("model_name_or_path"), PathTo("model")]
    """Base model: only its VAE is read. A .safetensors or .ckpt file, a diffusers folder or a hub id."""

    v2: bool = False
    """The base model is Stable Diffusion 2."""

    full_path: bool = False
    """Pictures are named by their full path in the metadata."""

    recursive: bool = False
    """Take the pictures of all folders below as well. Needs full_path."""


@dataclass(kw_only=True)
class BucketOptions:
    """Into which sizes pictures are sorted."""

    min_bucket_reso: Annotated[int, Range(low=8, high=16384), Unit("px")] = 256
    """Shortest side of a bucket."""

    max_bucket_reso: Annotated[int, Range(low=8, high=16384), Unit("px")] = 1024
    """Longest side of a bucket."""

    bucket_reso_steps: Annotated[int, Range(low=8, high=16384), Unit("px")] = 64
    """Sides of buckets are multiples of this; itself a multiple of 8."""

    bucket_no_upscale: bool = False
    """Never enlarge a picture: each keeps its size, cut to a multiple of the step."""


@dataclass(kw_only=True)
class CachingOptions:
    """How latents are made and kept."""

    max_resolution: str = "512,512"
    """Resolution whose area no bucket exceeds: width,height, or one number for a square."""

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Number format of the VAE; no is exact."""

    flip_aug: bool = False
    """Make mirrored latents as well; training then draws half and half. Not for lopsided subjects."""

    alpha_mask: str = ""
    """Write the pictures' transparency into the latents files as a mask for training: "1" or "true" for yes."""

    resize_interpolation: Literal["lanczos", "nearest", "bilinear", "linear", "bicubic", "cubic", "area"] | None = None
    """How pictures are scaled. Empty: area averaging to shrink, Lanczos to enlarge."""

    fast_decode: bool = False
    """Decode a JPEG at 1/2, 1/4 or 1/8 where that stays larger than needed. The mean difference is below 1 of 255."""

    skip_existing: bool = False
    """Keep latents that still fit; make only what is new or has changed."""

    verify_cache: bool = False
    """As skip_existing, but read all pictures and latents again, whatever earlier runs found."""


@dataclass(kw_only=True)
class PrepareLatentsOptions:
    """Sorts pictures into aspect-ratio buckets and writes their latents."""

    files: LatentsFilesOptions
    caching: CachingOptions = field(default_factory=CachingOptions)
    buckets: BucketOptions = field(default_factory=BucketOptions)
    loading: LoadingOptions = field(default_factory=LoadingOptions)
