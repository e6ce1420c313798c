"""Options of the tools for networks: merging, extracting, resizing, looking into them."""

from dataclasses import dataclass, field
from typing import Annotated, Literal

import tyro

from sd_scripts.options.spec import PathTo, Range, place

Precision = Literal["float", "fp16", "bf16"]


@dataclass(kw_only=True)
class MergeFilesOptions:
    """What is merged, and where it is written."""

    models: Annotated[list[str], PathTo("file")]
    """Networks to merge: .safetensors, .ckpt or .pt files."""

    ratios: list[float] | None = None
    """Strength of each network, in the same order. Empty: 1 for each."""

    save_to: Annotated[str, PathTo("model_out")]
    """File to write, with its ending: .safetensors, .ckpt or .pt."""

    precision: Precision = "float"
    """Number format in which is computed; float is the most exact."""

    save_precision: Precision | None = None
    """Number format of the written file. Empty: the same as precision. A VAE keeps its own."""


@dataclass(kw_only=True)
class IntoModelOptions:
    """Whether networks are merged into a model, or with each other."""

    sd_model: Annotated[str | None, PathTo("model")] = None
    """Model to merge the networks into, for a model that needs none of them. Empty: the networks become one."""


@dataclass(kw_only=True)
class JoinOptions:
    """How networks become one."""

    concat: bool = False
    """Put the networks' matrices side by side as they are. Without it their sum gets as low a rank as it has."""

    shuffle: bool = False
    """Put the ranks of each layer in another order, which changes no picture."""


@dataclass(kw_only=True)
class BlockStrengthOptions:
    """Strengths by the blocks of the U-Net."""

    lbws: list[str] | None = None
    """For each network its strengths by block, such as [1,0,0.5,...]: 12 or 20 numbers for SDXL, else 17 or 26."""


@dataclass(kw_only=True)
class Version2Options:
    """Which models the files are of."""

    v2: bool = False
    """The model is Stable Diffusion 2."""


@dataclass(kw_only=True)
class ModelSpecOptions:
    """What the file says of itself."""

    no_metadata: bool = False
    """Write no modelspec.* keys. What programs need to use a network is written all the same."""


@dataclass(kw_only=True)
class SvdDeviceOptions:
    """Where singular values are computed."""

    device: str | None = None
    """Device that computes, such as cuda. Empty: the processor."""


@dataclass(kw_only=True)
class MergeLoraOptions:
    """Merges LoRAs into a Stable Diffusion 1 or 2 model, or into one LoRA."""

    files: MergeFilesOptions
    into: IntoModelOptions = field(default_factory=IntoModelOptions)
    join: JoinOptions = field(default_factory=JoinOptions)
    version: Version2Options = field(default_factory=Version2Options)
    spec: ModelSpecOptions = field(default_factory=ModelSpecOptions)


@dataclass(kw_only=True)
class MergeLoraOldOptions:
    """Merges LoRAs as merge_lora.py does, with the fewer options that it had in the past."""

    files: MergeFilesOptions
    into: IntoModelOptions = field(default_factory=IntoModelOptions)
    version: Version2Options = field(default_factory=Version2Options)


@dataclass(kw_only=True)
class SdxlMergeLoraOptions:
    """Merges LoRAs into an SDXL model, or into one LoRA."""

    files: MergeFilesOptions
    into: IntoModelOptions = field(default_factory=IntoModelOptions)
    join: JoinOptions = field(default_factory=JoinOptions)
    blocks: BlockStrengthOptions = field(default_factory=BlockStrengthOptions)
    spec: ModelSpecOptions = field(default_factory=ModelSpecOptions)


@dataclass(kw_only=True)
class NewRankOptions:
    """Ranks of the written LoRA."""

    new_rank: Annotated[int, Range(low=1)] = 4
    """Rank of the written LoRA; with dynamic_method the largest that a layer may have."""

    new_conv_rank: Annotated[int | None, Range(low=1)] = None
    """The same for 3x3 convolutions. Empty: new_rank."""


@dataclass(kw_only=True)
class SvdRankOptions:
    """Ranks of the merged LoRA."""

    new_rank: Annotated[int, Range(low=1)] = 4
    """Rank of the merged LoRA. The sum of the networks is exact where it suffices, else as near as this rank allows."""

    new_conv_rank: Annotated[int | None, Range(low=1)] = None
    """The same for 3x3 convolutions. Empty: new_rank."""


@dataclass(kw_only=True)
class SvdMergeLoraOptions:
    """Merges LoRAs into one of a rank that is chosen, as near to their sum as that rank allows."""

    files: MergeFilesOptions
    ranks: SvdRankOptions = field(default_factory=SvdRankOptions)
    blocks: BlockStrengthOptions = field(default_factory=BlockStrengthOptions)
    svd: SvdDeviceOptions = field(default_factory=SvdDeviceOptions)
    spec: ModelSpecOptions = field(default_factory=ModelSpecOptions)


@dataclass(kw_only=True)
class ResizeLoraOptions:
    """Writes a LoRA in another rank, or in ranks that suit its layers."""

    model: Annotated[str, PathTo("file")]
    """LoRA to resize."""

    save_to: Annotated[str, PathTo("model_out")]
    """File to write, with its ending: .safetensors, .ckpt or .pt."""

    save_precision: Precision | None = None
    """Number format of the written file. Empty: float."""

    ranks: NewRankOptions = field(default_factory=NewRankOptions)

    dynamic_method: Literal["sv_ratio", "sv_fro", "sv_cumulative"] | None = None
    """Find each layer's rank by singular values: sv_fro and sv_cumulative keep a share, sv_ratio drops small ones."""

    dynamic_param: Annotated[float | None, Range(low=0.0)] = None
    """sv_fro: share of the change's length to keep, such as 0.9; sv_cumulative: of its sum; sv_ratio: such as 10."""

    verbose: bool = False
    """Tell of each layer what it keeps."""

    svd: SvdDeviceOptions = field(default_factory=SvdDeviceOptions)


@dataclass(kw_only=True)
class CheckLoraOptions:
    """Shows a network's tensors and what is wrong with them."""

    file: Annotated[str, *place("file"), PathTo("file")]
    """Network to look into."""

    show_all_keys: Annotated[bool, tyro.conf.arg(aliases=["-s"])] = False
    """Show all tensors, not only the matrices of LoRA."""


@dataclass(kw_only=True)
class SplitDyloraOptions:
    """Takes a LoRA of each rank out of a DyLoRA."""

    model: Annotated[str, PathTo("file")]
    """DyLoRA to take apart."""

    save_to: Annotated[str, PathTo("model_out")]
    """Files to write: the rank is added to this name, as in name-0004.safetensors."""

    unit: Annotated[int, Range(low=1)]
    """Step between the ranks, as it was in training: a LoRA of 4, 8, 12, ... for 4."""


@dataclass(kw_only=True)
class LoraInterrogatorOptions:
    """Lists the words to which a LoRA's text encoder answers most unlike the model's own."""

    sd_model: Annotated[str, PathTo("model")]
    """Model that the LoRA is for."""

    model: Annotated[str, PathTo("file")]
    """LoRA with a part in the text encoder."""

    v2: bool = False
    """The model is Stable Diffusion 2."""

    batch_size: Annotated[int, Range(low=1, high=4096)] = 16
    """Words that are looked at at once."""

    clip_skip: Annotated[int | None, Range(low=1)] = None
    """Which layer of the text encoder is read, counted from the end. Empty: the model's own."""


@dataclass(kw_only=True)
class ExtractModelsOptions:
    """The two models."""

    model_org: Annotated[str, PathTo("model")]
    """Model before its training."""

    model_tuned: Annotated[str, PathTo("model")]
    """Model after its training."""

    load_precision: Precision | None = None
    """Number format that the weights are rounded to when they are read. Empty: as they are."""

    load_original_model_to: str | None = None
    """Device that model_org is read to, such as cuda. Empty: the processor's memory."""

    load_tuned_model_to: str | None = None
    """Device that model_tuned is read to, such as cuda. Empty: the processor's memory."""


@dataclass(kw_only=True)
class ExtractLoraOptions:
    """Extracts what a model has learnt since another as a LoRA."""

    models: ExtractModelsOptions

    save_to: Annotated[str, PathTo("model_out")]
    """File to write, with its ending: .safetensors, .ckpt or .pt."""

    save_precision: Precision | None = None
    """Number format of the written file. Empty: float."""

    dim: Annotated[int, Range(low=1)] = 4
    """Rank: how much of the change the LoRA holds, and how large its file is."""

    conv_dim: Annotated[int | None, Range(low=1)] = None
    """Rank for 3x3 convolutions. Empty: they are left out, with all of the Resnet, Down- and Upsample blocks."""

    v2: bool = False
    """The models are Stable Diffusion 2."""

    sdxl: bool = False
    """The models are SDXL."""

    v_parameterization: bool = False
    """The models predict velocity; the LoRA's header says so."""

    min_diff: Annotated[float, Range(low=0.0)] = 0.01
    """A text encoder of which no weight has changed by more than this is left out."""

    clamp_quantile: Annotated[float, Range(low=0.0, high=1.0)] = 1.0
    """Share of a layer's numbers that keep their size; larger ones are cut, which is less exact. 1: none is cut."""

    svd: SvdDeviceOptions = field(default_factory=SvdDeviceOptions)
    spec: ModelSpecOptions = field(default_factory=ModelSpecOptions)


@dataclass(kw_only=True)
class ExtractLoconOptions:
    """Extracts what a model has learnt since another as LyCORIS' LoCon, with a rule for each layer's rank."""

    base_model: Annotated[str, *place("base_model"), PathTo("model")]
    """Model before its training."""

    db_model: Annotated[str, *place("db_model"), PathTo("model")]
    """Model after its training."""

    output_name: Annotated[str, *place("output_name"), PathTo("model_out")]
    """File to write, with its ending: .safetensors or .pt."""

    is_v2: bool = False
    """The models are Stable Diffusion 2."""

    is_sdxl: bool = False
    """The models are SDXL."""

    device: str = "cpu"
    """Device that computes, such as cuda."""

    mode: Literal["fixed", "full", "threshold", "ratio", "quantile"] = "fixed"
    """How ranks are found: fixed takes the dims; full keeps whole differences; the others go by singular values."""

    safetensors: bool = False
    """Write .safetensors, whatever the name's ending."""

    linear_dim: Annotated[int, Range(low=1)] = 1
    """Rank of linear layers in mode fixed."""

    conv_dim: Annotated[int, Range(low=1)] = 1
    """Rank of 3x3 convolutions in mode fixed."""

    linear_threshold: Annotated[float, Range(low=0.0)] = 0.0
    """Mode threshold: singular values of linear layers above this are kept."""

    conv_threshold: Annotated[float, Range(low=0.0)] = 0.0
    """Mode threshold: singular values of 3x3 convolutions above this are kept."""

    linear_ratio: Annotated[float, Range(low=0.0, high=1.0)] = 0.0
    """Mode ratio: singular values of linear layers above this share of the largest are kept."""

    conv_ratio: Annotated[float, Range(low=0.0, high=1.0)] = 0.0
    """Mode ratio: singular values of 3x3 convolutions above this share of the largest are kept."""

    linear_quantile: Annotated[float, Range(low=0.0, high=1.0)] = 1.0
    """Mode quantile: the share of the singular values' sum that is kept of linear layers."""

    conv_quantile: Annotated[float, Range(low=0.0, high=1.0)] = 1.0
    """Mode quantile: the share of the singular values' sum that is kept of 3x3 convolutions."""

    use_sparse_bias: bool = False
    """Keep the largest numbers of what the low rank misses as well."""

    sparsity: Annotated[float, Range(low=0.0, high=1.0)] = 0.98
    """Share of those numbers that use_sparse_bias leaves out."""

    disable_cp: bool = False
    """Keep a 3x3 convolution's window in its first matrix, not in a third one, which is smaller and less exact."""


@dataclass(kw_only=True)
class MergeLycorisOptions:
    """Merges a network of LyCORIS, or a LoRA, into a model."""

    base_model: Annotated[str, *place("base_model"), PathTo("model")]
    """Model to merge the network into."""

    lycoris_model: Annotated[str, *place("lycoris_model"), PathTo("file")]
    """Network to merge: LoHa, LoKr, (IA)^3, LoCon, full difference, OFT, LoRA."""

    output_name: Annotated[str, *place("output_name"), PathTo("model_out")]
    """File to write, with its ending: .safetensors or .ckpt."""

    is_v2: bool = False
    """The model is Stable Diffusion 2."""

    is_sdxl: bool = False
    """The model is SDXL."""

    device: str = "cpu"
    """Device that computes, such as cuda."""

    dtype: Literal["float", "float32", "float16", "bfloat16", "fp16", "bf16"] = "float"
    """Number format of the written file. A VAE keeps its own."""

    weight: float = 1.0
    """Strength of the network."""
