"""The device that trains, and its number formats."""

import os
from typing import Any, Literal, Protocol

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.family import Family
from sd_scripts.library.report import Report
from sd_scripts.library.train.method import Holding
from sd_scripts.library.train.packed import store_packed
from sd_scripts.library.train.parallel import accelerator_arguments, allow_autocast
from sd_scripts.library.train.precision import computed_in, store_in_fp8, weights_dtype
from sd_scripts.library.train.team import launched, local_rank
from sd_scripts.library.train.zero import is_divided
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.training import AttentionOptions

AttentionKind = Literal["default", "sdpa", "mem_eff_attn", "xformers", "diffusers_xformers"]


class Precision(Protocol):
    """The options of number formats (options.training.PrecisionOptions)."""

    mixed_precision: Any
    full_fp16: bool
    full_bf16: bool
    fp8_base: bool
    gradient_checkpointing: bool
    gradient_checkpointing_levels: int | None
    opt_channels_last: bool
    fused_backward_pass: bool
    lowram: bool
    highvram: bool


def check_device(precision: Precision) -> None:
    """Raises BadOption for a number format that this machine does not compute in."""
    if precision.mixed_precision == "fp16" and not _has_accelerator():
        sentence = "--mixed_precision fp16 needs a GPU, and none is found. Use --mixed_precision bf16 or no."
        raise BadOption("mixed_precision", sentence)
    if precision.mixed_precision == "bf16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise BadOption("mixed_precision", "This GPU has no bf16. Use --mixed_precision fp16 or no.")


def main_report(report: Report) -> Report:
    """The report in the first process, and one that nobody hears in the others: they would say everything again."""
    if launched().rank == 0:
        return report
    return Report(asked=report.asked, out=open(os.devnull, "w"))  # noqa: SIM115


def training_device() -> torch.device:
    """The kind of device that accelerate will choose."""
    if torch.cuda.is_available():
        return torch.device("cuda", local_rank())
    return torch.device("mps" if torch.backends.mps.is_available() else "cpu")


def loading_device(precision: Precision) -> torch.device:
    """Where a model's weights are read to: with lowram straight into the memory of this process's GPU."""
    on_gpu = precision.lowram and torch.cuda.is_available()
    return torch.device("cuda", local_rank()) if on_gpu else torch.device("cpu")


def make_accelerator(options: TrainerOptions) -> Any:
    """The accelerator for mixed precision, the scaling of gradients and several processes. Errors: BadOption."""
    from accelerate import Accelerator
    from accelerate.utils import GradientAccumulationPlugin

    precision = options.precision
    check_device(precision)
    # The loop weighs its batches itself; the launcher's own option must not divide the loss once more.
    whole = GradientAccumulationPlugin(num_steps=1)
    accelerator = Accelerator(
        mixed_precision=precision.mixed_precision, gradient_accumulation_plugin=whole, **accelerator_arguments(options)
    )
    if options.zero.deepspeed:
        allow_autocast(accelerator)
    if precision.full_fp16:
        _allow_fp16_gradients(accelerator)
    return accelerator


def prepare_modules(
    family: Family, precision: Precision, attention: AttentionOptions, holding: Holding, device: torch.device
) -> None:
    """Puts U-Net and text encoders on the device, in float32 or as full_fp16, full_bf16, fp8_base and base_bits say.

    Mixed precision keeps the weights in float32 and computes in less; what is frozen and not saved is held in less too.
    The VAE waits on the CPU, except with lowram and highvram. Errors: NotInstalled.
    """
    if precision.opt_channels_last:
        nn.Module.to(family.unet, memory_format=torch.channels_last)
    for module in (part for part in (family.unet, *family.text_encoders.values()) if not is_divided(part)):
        frozen = not any(parameter.requires_grad for parameter in module.parameters())
        # diffusers' own `to` warns of dtypes, whatever they are.
        nn.Module.to(module, weights_dtype(precision) if holding.exact or not frozen else computed_in(precision))
        in_fp8 = precision.fp8_base or (holding.fp8_unet and module is family.unet)
        if in_fp8 and frozen:
            store_in_fp8(module, keep_exact=holding.exact)
        elif holding.bits and frozen:
            store_packed(module, holding.bits, device)
        module.to(device)
    family.vae.float().to(device if vae_stays(precision) else "cpu")
    family.use_attention(attention_kind(attention))
    if precision.gradient_checkpointing:
        family.use_gradient_checkpointing(holding.offload, precision.gradient_checkpointing_levels)


def vae_stays(precision: Precision) -> bool:
    """Whether the VAE lies on the device all the time: lowram saves the RAM for it, highvram the way there and back."""
    return precision.lowram or precision.highvram


def attention_kind(attention: AttentionOptions) -> AttentionKind:
    """The kind of attention that the options ask for."""
    kinds: tuple[AttentionKind, ...] = ("sdpa", "mem_eff_attn", "xformers", "diffusers_xformers")
    return next((kind for kind in kinds if getattr(attention, kind)), "default")


def _has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _allow_fp16_gradients(accelerator: Any) -> None:
    # torch's scaler refuses gradients in fp16; with full_fp16 there are no others.
    unscale = accelerator.scaler._unscale_grads_

    def allowing(optimizer: Any, inverse_scale: Any, found_inf: Any, allow_fp16: bool) -> Any:
        return unscale(optimizer, inverse_scale, found_inf, True)

    accelerator.scaler._unscale_grads_ = allowing
