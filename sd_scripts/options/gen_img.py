"""Options of gen_img.py: pictures of a trained model."""

from dataclasses import dataclass, field
from typing import Annotated

from sd_scripts.options.output import ConsoleOptions
from sd_scripts.options.spec import PathTo, Range, Unit
from sd_scripts.options.training import Samplers


@dataclass(kw_only=True)
class DrawnModelOptions:
    """The model that draws."""

    ckpt: Annotated[str | None, PathTo("model")] = None
    """Model that draws: a .safetensors or .ckpt file, a diffusers folder or a hub id."""

    vae: Annotated[str | None, PathTo("vae")] = None
    """Another VAE to use instead of the model's own: a file, a diffusers folder or a hub id."""

    v1: bool = False
    """The model is Stable Diffusion 1. Without v1, v2 and sdxl the file itself tells what it is."""

    v2: bool = False
    """The model is Stable Diffusion 2."""

    sdxl: bool = False
    """The model is SDXL."""

    v_parameterization: bool = False
    """The model predicts velocity. Needed only where its file does not tell."""

    zero_terminal_snr: bool = False
    """Begin with pure noise, as models trained with zero_terminal_snr need it."""

    no_half_vae: bool = False
    """Run the VAE in float32 even with fp16 or bf16."""


@dataclass(kw_only=True)
class AddedOptions:
    """What was trained beside the model: networks, embeddings, hypernetworks."""

    network_weights: Annotated[list[str] | None, PathTo("file")] = None
    """Files of networks (LoRA and its kin) that the model draws with."""

    network_mul: list[float] | None = None
    """How strongly each of network_weights counts. Empty: 1."""

    network_module: list[str] | None = None
    """Kind of each network: networks.lora, or a network module of another package. Empty: networks.lora for all."""

    network_args: list[str] | None = None
    """Further arguments of each network, such as name=value;other=value."""

    network_merge: bool = False
    """Merge all networks into the model before drawing: faster, but their strengths are fixed then."""

    network_merge_n_models: Annotated[int | None, Range(low=1)] = None
    """Merge only this many of the networks, the first ones."""

    network_show_meta: bool = False
    """Print what the headers of the networks' files tell."""

    textual_inversion_embeddings: Annotated[list[str] | None, PathTo("file")] = None
    """Files of embeddings; prompts use each by the name of its file, without the ending."""

    hypernetwork_weights: Annotated[list[str] | None, PathTo("file")] = None
    """Files of hypernetworks that the model draws with."""

    hypernetwork_mul: list[float] | None = None
    """How strongly each of hypernetwork_weights counts. Empty: 1."""


@dataclass(kw_only=True)
class GridOptions:
    """Pictures side by side: each prompt with each file and each strength, from the same seeds."""

    grid: Annotated[list[str] | None, PathTo("file")] = None
    """Trained files to compare, a column each: models, networks, embeddings, hypernetworks. What each is, it tells."""

    grid_multipliers: list[float] | None = None
    """Strengths to compare, a column each: of grid's networks, or else of network_weights. 0: without them."""


@dataclass(kw_only=True)
class PromptOptions:
    """What is drawn."""

    prompt: str | None = None
    """What is to be seen, one prompt a line. Options may follow: --n negative --w --h --d seed --s steps --l scale."""

    from_file: Annotated[str | None, PathTo("file")] = None
    """File of prompts, one a line (.txt), or .toml or .json."""

    negative_prompt: str | None = None
    """What is not to be seen, for prompts without --n of their own."""

    shuffle_prompts: bool = False
    """Draw the prompts in an order by lot, another one in each of n_iter."""

    images_per_prompt: Annotated[int, Range(low=1, high=10_000), Unit("images")] = 1
    """Pictures of each prompt, each with a seed of its own."""

    n_iter: Annotated[int, Range(low=1, high=10_000)] = 1
    """Draw everything this many times, each time with other seeds."""

    seed: Annotated[int | None, Range(low=0)] = None
    """Seed of a single picture; of several pictures the seeds follow from it. In a grid: of each first picture."""

    iter_same_seed: bool = False
    """All pictures of one of n_iter have the same seed."""


@dataclass(kw_only=True)
class DrawingOptions:
    """How it is drawn."""

    W: Annotated[int | None, Range(low=8, high=16384), Unit("px")] = None
    """Width. Empty: 512, with SDXL 1024; with image_path that picture's."""

    H: Annotated[int | None, Range(low=8, high=16384), Unit("px")] = None
    """Height. Empty: 512, with SDXL 1024; with image_path that picture's."""

    steps: Annotated[int, Range(low=1, high=999), Unit("steps")] = 50
    """Steps from noise to picture: more are slower and finer, with little to gain above 30."""

    scale: Annotated[float, Range(low=0.0)] = 7.5
    """How closely the prompt is followed. 1: freely, without the negative prompt."""

    negative_scale: Annotated[float | None, Range(low=0.0)] = None
    """How strongly the negative prompt pushes away, apart from scale. Empty: it takes the place of the empty prompt."""

    sampler: Samplers = "ddim"
    """Way from noise to picture."""

    clip_skip: Annotated[int | None, Range(low=1)] = None
    """Which text layer is read, counted from the end: as in training. Only for Stable Diffusion 1."""

    max_embeddings_multiples: Annotated[int | None, Range(low=1, high=16)] = None
    """Longest prompt, in portions of 75 tokens. Empty: 1."""

    force_scheduler_zero_steps_offset: bool = False
    """Let the sampler's steps begin at 0 instead of 1."""


@dataclass(kw_only=True)
class SizeTellingOptions:
    """What SDXL is told of the picture's size. Empty: its true one, not cut."""

    original_width: Annotated[int | None, Range(low=1), Unit("px")] = None
    """Width of the picture before it was scaled, as SDXL is told."""

    original_height: Annotated[int | None, Range(low=1), Unit("px")] = None
    """Height of the picture before it was scaled, as SDXL is told."""

    original_width_negative: Annotated[int | None, Range(low=1), Unit("px")] = None
    """The same width for the negative prompt. Empty: as original_width."""

    original_height_negative: Annotated[int | None, Range(low=1), Unit("px")] = None
    """The same height for the negative prompt. Empty: as original_height."""

    crop_left: Annotated[int | None, Range(low=0), Unit("px")] = None
    """How much was cut off at the left, as SDXL is told. Empty: 0."""

    crop_top: Annotated[int | None, Range(low=0), Unit("px")] = None
    """How much was cut off at the top, as SDXL is told. Empty: 0."""


@dataclass(kw_only=True)
class FromPictureOptions:
    """Begin with a picture instead of noise."""

    image_path: Annotated[str | None, PathTo("picture")] = None
    """Picture to begin with, or a folder of pictures that are taken in turn."""

    mask_path: Annotated[str | None, PathTo("picture")] = None
    """Mask, or a folder of masks in the same order: only what is white there is drawn anew."""

    strength: Annotated[float | None, Range(low=0.0, high=1.0)] = None
    """How far the picture is drawn anew: 0 not at all, 1 wholly. Empty: 0.8."""


@dataclass(kw_only=True)
class TwoStageOptions:
    """Large pictures in two stages: a small one first, which is enlarged and drawn over."""

    highres_fix_scale: Annotated[float | None, Range(low=0.0, high=1.0)] = None
    """Size of the first picture as a share of the last one's, such as 0.5. Empty: one stage."""

    highres_fix_steps: Annotated[int, Range(low=1, high=999), Unit("steps")] = 28
    """Steps of the first stage."""

    highres_fix_strength: Annotated[float | None, Range(low=0.0, high=1.0)] = None
    """How far the enlarged picture is drawn anew. Empty: as strength says."""

    highres_fix_save_1st: bool = False
    """Save the first stage's picture too."""

    highres_fix_latents_upscaling: bool = False
    """Enlarge the latents instead of the picture: faster, and softer."""


@dataclass(kw_only=True)
class PictureFileOptions:
    """Where pictures go."""

    outdir: Annotated[str, PathTo("folder")] = "outputs"
    """Folder for the pictures."""

    sequential_file_name: bool = False
    """Number the files (im_000001.png, ...) instead of naming them by time and seed."""

    use_original_file_name: bool = False
    """Begin each file's name with that of the picture that it was drawn from."""


@dataclass(kw_only=True)
class DrawingSpeedOptions:
    """Memory and speed."""

    batch_size: Annotated[int, Range(low=1, high=4096), Unit("images")] = 1
    """Pictures drawn at once. More is faster and needs more memory."""

    vae_batch_size: Annotated[float | None, Range(low=0.0)] = None
    """Pictures that the VAE decodes at once; below 1 a share of batch_size. Empty: batch_size."""

    fp16: bool = False
    """Compute in fp16: half the memory, faster. Needs a GPU."""

    bf16: bool = False
    """Compute in bf16, on recent GPUs: half the memory, faster."""

    xformers: bool = False
    """Use xformers' attention; needs the package (./setup.sh install --xformers)."""

    sdpa: bool = False
    """Use PyTorch's own attention: what is used when none is named."""

    diffusers_xformers: bool = False
    """Use xformers' attention as diffusers switches it on; needs the package."""

    opt_channels_last: bool = False
    """Keep the U-Net's and the VAE's numbers with the channels last: faster on some GPUs."""


@dataclass(kw_only=True)
class GenImgOptions:
    """Draws pictures with a model and what was trained beside it, one by one or as a grid."""

    model: DrawnModelOptions = field(default_factory=DrawnModelOptions)
    added: AddedOptions = field(default_factory=AddedOptions)
    grid: GridOptions = field(default_factory=GridOptions)
    prompts: PromptOptions = field(default_factory=PromptOptions)
    drawing: DrawingOptions = field(default_factory=DrawingOptions)
    telling: SizeTellingOptions = field(default_factory=SizeTellingOptions)
    picture: FromPictureOptions = field(default_factory=FromPictureOptions)
    stages: TwoStageOptions = field(default_factory=TwoStageOptions)
    files: PictureFileOptions = field(default_factory=PictureFileOptions)
    speed: DrawingSpeedOptions = field(default_factory=DrawingSpeedOptions)
    console: ConsoleOptions = field(default_factory=ConsoleOptions)
