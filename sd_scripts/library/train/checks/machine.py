"""What must be true of number formats, memory and processes before a model is loaded. Needs no torch."""

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from sd_scripts.library.errors import BadOption, NotInstalled
from sd_scripts.library.team import launched
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.options.device import CUDA_GRAPHS, CompileOptions, DeepSpeedOptions, ParallelOptions
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.training import AttentionOptions, PrecisionOptions

_LAUNCHER = {
    "ACCELERATE_USE_DEEPSPEED": "--use_deepspeed",
    "ACCELERATE_USE_FSDP": "--use_fsdp",
    "ACCELERATE_USE_MEGATRON_LM": "--use_megatron_lm",
    "ACCELERATE_USE_PARALLELISM_CONFIG": "--use_parallelism_config",
}
"""What accelerate's launcher tells by the environment, and by which of its options."""


def check_machine(options: TrainerOptions) -> None:
    """Checks the options of the machine that trains. Errors: BadOption, NotInstalled."""
    for check in MACHINE_CHECKS:
        check(options)


def check_formats(precision: PrecisionOptions) -> None:
    """Weights are held in no other half than is computed in; 8 bits need computation in a half."""
    for half in ("fp16", "bf16"):
        if getattr(precision, f"full_{half}") and precision.mixed_precision != half:
            raise BadOption(f"full_{half}", f"--full_{half} needs --mixed_precision {half}.")
    if precision.stochastic_rounding and not precision.full_bf16:
        raise BadOption("stochastic_rounding", "--stochastic_rounding is for weights in bf16: it needs --full_bf16.")
    if precision.gradient_checkpointing_levels is not None and not precision.gradient_checkpointing:
        needs = "--gradient_checkpointing_levels needs --gradient_checkpointing."
        raise BadOption("gradient_checkpointing_levels", needs)
    if precision.fp8_base and precision.mixed_precision == "no":
        raise BadOption("fp8_base", "--fp8_base needs --mixed_precision bf16 or fp16: 8 bits are only for keeping.")
    if precision.lowram and precision.highvram:
        raise BadOption("highvram", "--lowram and --highvram are for opposite machines. Use one of them.")


def check_attention(attention: AttentionOptions) -> None:
    """At most one way of attention is asked for, and its package is there. Errors: BadOption, NotInstalled."""
    asked = [name for name in ("sdpa", "xformers", "mem_eff_attn", "diffusers_xformers") if getattr(attention, name)]
    if len(asked) > 1:
        flags = " and ".join(f"--{name}" for name in asked)
        raise BadOption(asked[1], f"{flags} exclude each other: use one, --sdpa if in doubt.")
    if asked and "xformers" in asked[0] and importlib.util.find_spec("xformers") is None:
        advice = "Install it with `./setup.sh install --xformers`, or use --sdpa."
        raise NotInstalled(f"--{asked[0]}: xformers is not installed. {advice}")


def check_frozen(precision: PrecisionOptions, frozen: Sequence[str]) -> None:
    """fp8_base is for a part of the model that is not trained; there must be one."""
    if precision.fp8_base and not frozen:
        sentence = "every part of the model is trained, so none can be kept in 8 bits. Leave it out."
        raise BadOption("fp8_base", f"--fp8_base: {sentence}")


def check_compilation(compilation: CompileOptions) -> None:
    """A compiler is named only where something is compiled."""
    if compilation.dynamo_backend != "inductor" and not compilation.torch_compile:
        raise BadOption("dynamo_backend", f"--dynamo_backend {compilation.dynamo_backend} needs --torch_compile.")
    plain = CompileOptions()
    for option in ("compile_mode", "compile_dynamic", "compile_cache_size_limit"):
        if getattr(compilation, option) != getattr(plain, option) and not compilation.torch_compile:
            raise BadOption(option, f"--{option} needs --torch_compile.")
    if compilation.compile_mode != "default" and compilation.dynamo_backend != "inductor":
        raise BadOption("compile_mode", f"--compile_mode {compilation.compile_mode} needs --dynamo_backend inductor.")


def check_recorded(options: TrainerOptions) -> None:
    """A recorded step is the same kernels over the same memory: one size, one batch, one process. Errors: BadOption."""
    mode = options.compilation.compile_mode
    if mode not in CUDA_GRAPHS:
        return
    reasons = {
        "--compile_dynamic true or auto: use --compile_dynamic false": options.compilation.compile_dynamic != "false",
        "--gradient_accumulation_steps above 1: gradients are added up outside of it": _accumulates(options),
        "--fused_backward_pass: weights change within it": options.precision.fused_backward_pass,
        "--fused_optimizer_groups: weights change within it": bool(options.groups.portions),
        "--on_oom retry, which does a step in parts": options.trouble.on_oom == "retry",
        "several processes: gradients are exchanged within it": launched().size > 1,
        "--deepspeed, which makes its own steps": options.zero.deepspeed,
    }
    for reason, holds in reasons.items():
        if holds:
            raise BadOption("compile_mode", f"--compile_mode {mode} does not go with {reason}.")


def check_fused_backward(options: TrainerOptions) -> None:
    """Steps within the backward pass know one batch, one process, and gradients that are not scaled."""
    asked = {
        "fused_backward_pass": options.precision.fused_backward_pass,
        "fused_optimizer_groups": bool(options.groups.portions),
    }
    option = next((name for name, given in asked.items() if given), None)
    if option is None:
        return
    reasons = {
        "--gradient_accumulation_steps above 1: each gradient is used at once": _accumulates(options),
        "--mixed_precision fp16: its scaled gradients are checked after the pass. Use bf16": _scales(options),
        "several processes: gradients are exchanged after the pass": launched().size > 1,
        "--deepspeed, which makes its own steps": options.zero.deepspeed,
    }
    for reason, holds in reasons.items():
        if holds:
            raise BadOption(option, f"--{option} does not go with {reason}.")
    if all(asked.values()):
        sentence = "--fused_backward_pass changes each weight by itself, --fused_optimizer_groups several at a time"
        raise BadOption("fused_optimizer_groups", f"{sentence}. Use one of them.")


def check_processes(parallel: ParallelOptions, zero: DeepSpeedOptions) -> None:
    """The launcher asks for no other way of dividing the work than the script; DeepSpeed exchanges gradients itself."""
    for variable, words in _LAUNCHER.items():
        if os.environ.get(variable, "").lower() == "true" and not (words == "--use_deepspeed" and zero.deepspeed):
            sentence = f"accelerate launch {words}: this training divides weights and states by --deepspeed alone"
            raise BadOption("deepspeed", f"{sentence}. Give that to the script, and not {words} to the launcher.")
    for option in ("ddp_gradient_as_bucket_view", "ddp_static_graph"):
        if zero.deepspeed and getattr(parallel, option):
            raise BadOption(option, f"--{option} has no meaning with --deepspeed. Leave one out.")


def check_text_stop(options: TrainerOptions) -> None:
    """What is trained changes where text encoders stop, which some ways of training cannot follow."""
    option = "stop_text_encoder_training"
    if options.text_stop is not None and options.zero.deepspeed:
        raise BadOption(option, f"--{option} does not go with --deepspeed, whose optimizer would go on changing it.")
    if options.text_stop is not None and options.parallel.ddp_static_graph:
        raise BadOption(option, f"--{option} does not go with --ddp_static_graph, which takes all steps to be alike.")


def check_deepspeed(zero: DeepSpeedOptions, precision: PrecisionOptions) -> None:
    """Its options stand together."""
    if not zero.deepspeed:
        _check_alone(zero)
        return
    if precision.opt_channels_last:
        sentence = "DeepSpeed lays the weights out itself: leave it out"
        raise BadOption("opt_channels_last", f"--opt_channels_last does not go with --deepspeed: {sentence}.")
    for option in ("full_fp16", "full_bf16", "fp8_base"):
        if getattr(precision, option):
            sentence = "DeepSpeed keeps weights in its own formats: set --mixed_precision alone"
            raise BadOption(option, f"--{option} does not go with --deepspeed: {sentence}.")
    _check_offload(zero, "optimizer", {"cpu": (1, 2, 3), "nvme": (3,)})
    _check_offload(zero, "param", {"cpu": (3,), "nvme": (3,)})
    for option in ("zero3_init_flag", "zero3_save_16bit_model"):
        if getattr(zero, option) and zero.zero_stage != 3:
            raise BadOption(option, f"--{option} needs --zero_stage 3.")
    if zero.zero3_save_16bit_model and precision.mixed_precision == "no":
        raise BadOption("zero3_save_16bit_model", "--zero3_save_16bit_model needs --mixed_precision bf16 or fp16.")
    fits = (precision.mixed_precision, zero.zero_stage, zero.offload_optimizer_device) == ("fp16", 2, "cpu")
    if zero.fp16_master_weights_and_gradients and not fits:
        needed = "--mixed_precision fp16, --zero_stage 2 and --offload_optimizer_device cpu"
        raise BadOption("fp16_master_weights_and_gradients", f"--fp16_master_weights_and_gradients needs {needed}.")


def check_divided(options: TrainerOptions) -> None:
    """What needs whole weights does not go with weights, or an optimizer's memory, in parts."""
    if not options.zero.deepspeed:
        return
    if optimizer_name(options.optimizer) == "AdaFactor":
        raise BadOption("optimizer_type", "AdaFactor looks at whole matrices, and --deepspeed divides them. Use AdamW.")
    samples = options.samples
    if options.zero.zero_stage == 3 and (
        samples.sample_at_first or samples.sample_every_n_steps or samples.sample_every_n_epochs
    ):
        sentence = "samples are drawn by one process, and --zero_stage 3 divides the weights. Use --zero_stage 2."
        raise BadOption("sample_prompts", f"--sample_prompts: {sentence}")


def check_deepspeed_there(zero: DeepSpeedOptions) -> None:
    """Its package is there where it is asked for. Errors: NotInstalled."""
    if zero.deepspeed and importlib.util.find_spec("deepspeed") is None:
        command = f"{sys.executable} -m pip install deepspeed"
        raise NotInstalled(f"--deepspeed needs the package deepspeed, which is not installed. Install it: {command}")


MACHINE_CHECKS: tuple[Callable[[TrainerOptions], None], ...] = (
    lambda options: check_formats(options.precision),
    lambda options: check_attention(options.attention),
    lambda options: check_compilation(options.compilation),
    check_recorded,
    check_fused_backward,
    lambda options: check_processes(options.parallel, options.zero),
    check_text_stop,
    lambda options: check_deepspeed(options.zero, options.precision),
    check_divided,
    lambda options: check_deepspeed_there(options.zero),
)
"""Each of these is asked; the page asks them one by one, to tell all that it finds."""


def _check_alone(zero: DeepSpeedOptions) -> None:
    for option, value in vars(zero).items():
        if value != getattr(DeepSpeedOptions(), option):
            raise BadOption(option, f"--{option} needs --deepspeed.")


def _check_offload(zero: DeepSpeedOptions, what: str, stages: dict[str, tuple[int, ...]]) -> None:
    """A device goes with stages; the folder of an NVMe drive is named where one is used, and only there."""
    option, folder_option = f"offload_{what}_device", f"offload_{what}_nvme_path"
    device, folder = getattr(zero, option), getattr(zero, folder_option)
    if device and zero.zero_stage not in stages[device]:
        fitting = " or ".join(map(str, stages[device]))
        raise BadOption(option, f"--{option} {device} needs --zero_stage {fitting}.")
    if folder and device != "nvme":
        raise BadOption(folder_option, f"--{folder_option} needs --{option} nvme.")
    if device == "nvme" and not folder:
        raise BadOption(folder_option, f"--{option} nvme needs --{folder_option}: a folder on an NVMe drive.")
    if folder and not Path(folder).is_dir():
        raise BadOption(folder_option, f"--{folder_option} {folder}: there is no such folder.")


def _accumulates(options: TrainerOptions) -> bool:
    return options.length.gradient_accumulation_steps > 1


def _scales(options: TrainerOptions) -> bool:
    return options.precision.mixed_precision == "fp16"
