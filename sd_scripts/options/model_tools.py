"""Options of the tools for whole models: converting, merging, and what their headers say."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

from sd_scripts.options.output import AboutOptions
from sd_scripts.options.spec import PathTo, Range, Unit, place


@dataclass(kw_only=True)
class ConvertFilesOptions:
    """What is read and written."""

    model_to_load: Annotated[str, *place("model_to_load"), PathTo("model")]
    """Model to convert: a .safetensors or .ckpt file, a diffusers folder or a hub id."""

    model_to_save: Annotated[str, *place("model_to_save"), PathTo("model_out")]
    """What to write: a name ending in .safetensors or .ckpt, or a folder for diffusers' form."""

    use_safetensors: bool = False
    """Write a diffusers folder with .safetensors files instead of .bin."""


@dataclass(kw_only=True)
class ConvertReadingOptions:
    """How the model is read."""

    v1: bool = False
    """The model is Stable Diffusion 1. What it is, is found out without this too; with it, another is refused."""

    v2: bool = False
    """The model is Stable Diffusion 2. What it is, is found out without this too; with it, another is refused."""

    v_parameterization: bool = False
    """The model predicts velocity. Needed where its file does not say so, as those of Stable Diffusion 2 for 768 px."""

    variant: str | None = None
    """Which variant of a diffusers model is read: fp16 reads the files named so, such as model.fp16.safetensors."""

    reference_model: Annotated[str | None, PathTo("folder")] = None
    """Diffusers folder whose scheduler and tokenizers the written folder takes. Empty: the usual ones."""

    unet_use_linear_projection: bool = False
    """Linear layers around attention in a folder of Stable Diffusion 2, which always has them, as the original."""


@dataclass(kw_only=True)
class ConvertPrecisionOptions:
    """The number format that is written."""

    save_precision_as: Literal["float", "fp16", "bf16"] | None = None
    """Number format to write, of all parts. Empty: each part keeps its own."""

    fp16: bool = False
    """Write in fp16; the same as save_precision_as fp16."""

    bf16: bool = False
    """Write in bf16; the same as save_precision_as bf16."""

    float: bool = False
    """Write in float32; the same as save_precision_as float."""


@dataclass(kw_only=True)
class ConvertHeaderOptions:
    """What is written beside the weights."""

    metadata: str | None = None
    """Texts for the header of a .safetensors file, as {"name": "value"}."""

    epoch: Annotated[int, Range(low=0), Unit("epochs")] = 0
    """Epochs that the model was trained, to be written into a single file."""

    global_step: Annotated[int, Range(low=0), Unit("steps")] = 0
    """Steps that the model was trained, to be written into a single file."""


@dataclass(kw_only=True)
class ConvertOptions:
    """Converts a model between .safetensors, .ckpt and diffusers' form."""

    files: ConvertFilesOptions
    reading: ConvertReadingOptions = field(default_factory=ConvertReadingOptions)
    precision: ConvertPrecisionOptions = field(default_factory=ConvertPrecisionOptions)
    header: ConvertHeaderOptions = field(default_factory=ConvertHeaderOptions)


@dataclass(kw_only=True)
class MergeModelsOptions:
    """Merges whole models into one: the sum of their weights, each times its ratio."""

    models: Annotated[list[str] | None, PathTo("model")] = None
    """Models to merge, of one family: files, diffusers folders or hub ids. What only later ones have is left out."""

    output: Annotated[str | None, PathTo("model_out")] = None
    """File to write; its name ends in .safetensors."""

    ratios: list[float] | None = None
    """How much of each model, in order; 1 1 -1 adds to the first what the second has over the third. Empty: equal."""

    unet_only: bool = False
    """Merge the U-Net alone; text encoders and VAE are those of the first model."""

    device: str = "cpu"
    """Where the sums are computed: cpu or cuda."""

    precision: Literal["float", "fp16", "bf16"] = "float"
    """Number format of the sums."""

    saving_precision: Literal["float", "fp16", "bf16"] = "float"
    """Number format that is written."""

    show_skipped: bool = False
    """List the tensors that a later model has and the first one lacks: they are left out."""


@dataclass(kw_only=True)
class ShowMetadataOptions:
    """Prints what a model's header says."""

    model: Annotated[str, PathTo("model")]
    """The .safetensors file of a model, LoRA or embedding."""


@dataclass(kw_only=True)
class EditFilesOptions:
    """What is read and written."""

    model: Annotated[str, *place("model"), PathTo("model")]
    """The .safetensors file of a model, LoRA or embedding."""

    output: Annotated[str | None, PathTo("model_out")] = None
    """File to write. The weights are copied as they are."""

    in_place: bool = False
    """Put the changed file in the place of the old one, instead of writing output."""


@dataclass(kw_only=True)
class EditKeysOptions:
    """Which keys change."""

    set: list[str] | None = None
    """Keys and their texts, as key=text."""

    remove: list[str] | None = None
    """Keys to remove; * stands for any letters: ss_* removes all that a training wrote."""

    set_from: Annotated[str | None, PathTo("file")] = None
    """JSON file with an object of keys and texts to set, such as show_metadata prints."""


@dataclass(kw_only=True)
class EditMetadataOptions:
    """Changes what a model's header says: title, author, licence, trigger words, and any other key."""

    files: EditFilesOptions
    keys: EditKeysOptions = field(default_factory=EditKeysOptions)
    about: AboutOptions = field(default_factory=AboutOptions)
