"""Options of training that every method shares: length, precision, attention, saving, logging, samples."""

from dataclasses import dataclass
from typing import Annotated, Literal

from sd_scripts.options.spec import PathTo, Range, Secret, Unit

Samplers = Literal[
    "ddim", "pndm", "lms", "euler", "euler_a", "heun", "dpm_2", "dpm_2_a", "dpmsolver", "dpmsolver++", "dpmsingle",
    "k_lms", "k_euler", "k_euler_a", "k_dpm_2", "k_dpm_2_a",
]  # fmt: skip


@dataclass(kw_only=True)
class LengthOptions:
    """How long training takes, and in what portions."""

    max_train_steps: Annotated[int, Range(low=1, high=100_000_000), Unit("steps")] = 1600
    """Training ends after this many optimizer steps. Not used when max_train_epochs is given."""

    max_train_epochs: Annotated[int | None, Range(low=1, high=1_000_000), Unit("epochs")] = None
    """Training ends after this many passes over the pictures; wins over max_train_steps."""

    train_batch_size: Annotated[int, Range(low=1, high=4096), Unit("images")] = 1
    """Images per step and device."""

    gradient_accumulation_steps: Annotated[int, Range(low=1, high=100_000), Unit("batches")] = 1
    """Batches whose gradients make one optimizer step: as a larger batch, with less memory."""

    seed: Annotated[int | None, Range(low=0)] = None
    """Seed of everything random; the same seed gives the same run. Empty: a new one each time, written into the log."""


@dataclass(kw_only=True)
class PrecisionOptions:
    """Number formats and memory."""

    mixed_precision: Literal["no", "fp16", "bf16"] = "no"
    """Number format of the computation: bf16 on recent GPUs, fp16 on older ones, no for float32."""

    full_fp16: bool = False
    """Keep weights and gradients in fp16 too: least memory, least exact. Needs mixed_precision fp16 and a GPU."""

    full_bf16: bool = False
    """Keep weights, gradients and optimizer in bf16 too: half the memory, less exact. Needs mixed_precision bf16."""

    stochastic_rounding: bool = False
    """Round what full_bf16 keeps up or down by lot, so that small changes are not lost, but come on average."""

    fp8_base: bool = False
    """Keep the weights of what is not trained in 8 bits (float8_e4m3fn). Needs mixed_precision fp16 or bf16."""

    gradient_checkpointing: bool = False
    """Recompute activations instead of keeping them: slower, with much less memory."""

    gradient_checkpointing_levels: Annotated[int | None, Range(low=1)] = None
    """Recompute only in the U-Net's n levels of highest resolution, which takes the least time for the memory."""

    opt_channels_last: bool = False
    """Keep the U-Net's numbers with the channels last: convolutions are faster on many machines."""

    fused_backward_pass: bool = False
    """Change each weight as soon as its gradient is there, and drop the gradient: less memory."""

    lowram: bool = False
    """Load the model straight into the GPU's memory: for machines with little RAM."""

    highvram: bool = False
    """Keep the VAE in the GPU's memory while it is not needed too: faster where it has room."""


@dataclass(kw_only=True)
class OptimizerGroupsOptions:
    """The optimizer's step in portions."""

    fused_optimizer_groups: Annotated[int | None, Range(low=0, zero="off")] = None
    """Change the weights in this many portions, each as soon as its gradients are there, which then go: less memory."""

    @property
    def portions(self) -> int:
        """Into how many portions the optimizer's step is split; 0: it is not."""
        return self.fused_optimizer_groups or 0


@dataclass(kw_only=True)
class AttentionOptions:
    """How attention is computed. At most one of these."""

    sdpa: bool = False
    """PyTorch's scaled dot product attention: fast, exact, always there; what is used when none is named."""

    xformers: bool = False
    """xformers' attention; needs the package (./setup.sh install --xformers)."""

    mem_eff_attn: bool = False
    """Attention in slices: slower, with little memory, on any device."""

    diffusers_xformers: bool = False
    """xformers' attention as diffusers switches it on; needs the package."""


@dataclass(kw_only=True)
class SavingOptions:
    """What is saved, when, and in which number format."""

    output_dir: Annotated[str | None, PathTo("folder")] = None
    """Folder for the trained models."""

    fallback_dir: Annotated[str | None, PathTo("folder")] = None
    """Folder to save into when the other one is full or gone while it trains. Empty: training waits there."""

    output_name: str | None = None
    """File name of the trained model, without ending. Empty: "last"."""

    save_precision: Literal["float", "fp16", "bf16"] | None = None
    """Number format of the saved weights. Empty: the format of the weights in training."""

    save_every_n_epochs: Annotated[int | None, Range(low=1), Unit("epochs")] = None
    """Save each time this many epochs have passed."""

    save_every_n_steps: Annotated[int | None, Range(low=1), Unit("steps")] = None
    """Save each time this many steps have passed."""

    save_n_epoch_ratio: Annotated[int | None, Range(low=1)] = None
    """Save at least this many times in all, evenly spread over the epochs."""

    save_last_n_epochs: Annotated[int | None, Range(low=1), Unit("epochs")] = None
    """Keep only the models of the last n epochs."""

    save_last_n_steps: Annotated[int | None, Range(low=1), Unit("steps")] = None
    """Keep only the models of the last n steps."""


@dataclass(kw_only=True)
class ModelFormatOptions:
    """The form of the saved models."""

    save_model_as: Literal["ckpt", "safetensors", "diffusers", "diffusers_safetensors"] | None = None
    """Format of the saved models. Empty: the format that the base model has."""

    use_safetensors: bool = False
    """Save as .safetensors (or with .safetensors inside a diffusers folder)."""


LATEST = "latest"
"""What resume takes in place of a folder; a folder of this name is ./latest."""


@dataclass(kw_only=True)
class StateOptions:
    """States, from which training goes on."""

    save_state: bool = False
    """Save the state of training (optimizer, schedule, place in the data) beside every model."""

    save_state_on_train_end: bool = False
    """Save the state at the end, even without save_state."""

    save_last_n_epochs_state: Annotated[int | None, Range(low=1), Unit("epochs")] = None
    """Keep only the states of the last n epochs. Empty: as save_last_n_epochs."""

    save_last_n_steps_state: Annotated[int | None, Range(low=1), Unit("steps")] = None
    """Keep only the states of the last n steps. Empty: as save_last_n_steps."""

    resume: Annotated[str | None, PathTo("state")] = None
    """State folder to go on from, all as it was: step, order, rates, optimizer. latest: the newest of this output."""

    branch: Annotated[str | None, PathTo("state")] = None
    """State folder to go on from with changed options, each of which is listed."""

    resume_from_huggingface: bool = False
    """The state to go on from lies on the Hugging Face hub: resume is owner/name/path:revision:type."""

    @property
    def source(self) -> str | None:
        """The state to go on from, by whichever option it is named."""
        return self.branch or self.resume


@dataclass(kw_only=True)
class TroubleOptions:
    """What is done about trouble in the middle of a training."""

    on_nonfinite: Literal["stop", "skip", "rollback"] = "stop"
    """Loss or gradient is no number: stop before it, skip that step, or roll back to the newest state and go on."""

    on_oom: Literal["stop", "retry"] = "stop"
    """Memory runs out: stop, or retry the step with less (gradient checkpointing, then batches in parts)."""


@dataclass(kw_only=True)
class LoggingOptions:
    """Logs of the training's figures and samples."""

    logging_dir: Annotated[str | None, PathTo("folder")] = None
    """Folder for the logs. Empty: no TensorBoard logs are written, and wandb keeps its own in ./wandb."""

    log_with: Literal["tensorboard", "wandb", "all"] | None = None
    """Where figures and samples are logged. Empty: TensorBoard, when logging_dir is given."""

    log_prefix: str | None = None
    """Text before the date in the name of the log's folder."""

    log_tracker_name: str | None = None
    """Project in wandb (empty: finetuning), and a folder of this name within the log's folder for TensorBoard."""

    log_tracker_config: Annotated[str | None, PathTo("file")] = None
    """TOML file with further settings of the logs: tables [wandb], for wandb.init, and [tensorboard]."""

    log_config: bool = False
    """Log the options of this training too. Secrets are left out, and paths are cut down to their last names."""

    wandb_run_name: str | None = None
    """Name of this run in wandb. Empty: wandb finds one."""

    wandb_api_key: Annotated[str | None, Secret()] = None
    """Key of your wandb account. Safer: the environment variable WANDB_API_KEY, or "wandb login" once."""


@dataclass(kw_only=True)
class SampleOptions:
    """Pictures drawn while training."""

    sample_every_n_steps: Annotated[int | None, Range(low=1), Unit("steps")] = None
    """Draw the sample prompts each time this many steps have passed."""

    sample_at_first: bool = False
    """Draw the sample prompts before the first step."""

    sample_every_n_epochs: Annotated[int | None, Range(low=1), Unit("epochs")] = None
    """Draw the sample prompts each time this many epochs have passed; wins over sample_every_n_steps."""

    sample_prompts: Annotated[str | None, PathTo("file")] = None
    """File of prompts: .txt with one a line, .toml or .json."""

    sample_sampler: Samplers = "ddim"
    """Sampler of the samples, where a prompt names none."""
