"""The device that trains, its number formats, and what to say when its memory runs out."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal, Protocol

import torch

from sd_scripts.library.errors import BadOption, TrainingFailed
from sd_scripts.library.models.family import Family
from sd_scripts.library.report import Report
from sd_scripts.library.train.course import Place
from sd_scripts.options.training import AttentionOptions

AttentionKind = Literal["default", "sdpa", "mem_eff_attn", "xformers", "diffusers_xformers"]


class Precision(Protocol):
    """The options of number formats (options.training.PrecisionOptions)."""

    mixed_precision: Any
    full_fp16: bool
    gradient_checkpointing: bool


def check_device(precision: Precision) -> None:
    """Raises BadOption for a number format that this machine does not compute in."""
    if precision.mixed_precision == "fp16" and not _has_accelerator():
        sentence = "--mixed_precision fp16 needs a GPU, and none is found. Use --mixed_precision bf16 or no."
        raise BadOption("mixed_precision", sentence)
    if precision.mixed_precision == "bf16" and torch.cuda.is_available() and not torch.cuda.is_bf16_supported():
        raise BadOption("mixed_precision", "This GPU has no bf16. Use --mixed_precision fp16 or no.")


def main_report(report: Report) -> Report:
    """The report in the first process, and one that nobody hears in the others: they would say everything again."""
    return report if os.environ.get("RANK", "0") == "0" else Report(out=open(os.devnull, "w"))  # noqa: SIM115


def make_accelerator(precision: Precision, some_layers_unused: bool = False) -> Any:
    """The accelerator for mixed precision, the scaling of gradients and several processes. Errors: BadOption."""
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    check_device(precision)
    processes = DistributedDataParallelKwargs(find_unused_parameters=some_layers_unused)
    accelerator = Accelerator(mixed_precision=precision.mixed_precision, kwargs_handlers=[processes])
    if precision.full_fp16:
        _allow_fp16_gradients(accelerator)
    return accelerator


def prepare_modules(family: Family, precision: Precision, attention: AttentionOptions, device: torch.device) -> None:
    """Puts U-Net and text encoder on the device, in float32 or, with full_fp16, in float16; the VAE waits on the CPU.

    Mixed precision keeps the weights in float32 and computes in less. Errors: NotInstalled.
    """
    for module in (family.unet, family.text_encoder):
        (module.half() if precision.full_fp16 else module.float()).to(device)
    family.vae.float().to("cpu")
    family.use_attention(attention_kind(attention))
    if precision.gradient_checkpointing:
        family.use_gradient_checkpointing()


def attention_kind(attention: AttentionOptions) -> AttentionKind:
    """The kind of attention that the options ask for."""
    kinds: tuple[AttentionKind, ...] = ("sdpa", "mem_eff_attn", "xformers", "diffusers_xformers")
    return next((kind for kind in kinds if getattr(attention, kind)), "default")


@contextmanager
def memory_explained(batch_size: int, precision: Precision, place: Place) -> Iterator[None]:
    """Turns running out of memory into a sentence with the settings that help most. Errors: TrainingFailed."""
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError, RuntimeError) as error:
        if not _is_out_of_memory(error):
            raise
        remedies = ", ".join(_remedies(batch_size, precision))
        where = f"after {place.step} steps, with batches of {batch_size}"
        raise TrainingFailed(f"Memory ran out {where}. What helps most: {remedies}.") from error


def _is_out_of_memory(error: BaseException) -> bool:
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return "out of memory" in str(error) or "can't allocate memory" in str(error)


def _remedies(batch_size: int, precision: Precision) -> list[str]:
    """The first three of what is not yet done."""
    remedies = {
        "--gradient_checkpointing": not precision.gradient_checkpointing,
        f"a smaller --train_batch_size than {batch_size} (with more --gradient_accumulation_steps)": batch_size > 1,
        "--mixed_precision bf16": precision.mixed_precision == "no",
        "--optimizer_type AdamW8bit": True,
        "a smaller --resolution": True,
        "--cache_latents": True,
    }
    return [words for words, open_ in remedies.items() if open_][:3]


def _has_accelerator() -> bool:
    return torch.cuda.is_available() or torch.backends.mps.is_available()


def _allow_fp16_gradients(accelerator: Any) -> None:
    # torch's scaler refuses gradients in fp16; with full_fp16 there are no others.
    unscale = accelerator.scaler._unscale_grads_

    def allowing(optimizer: Any, inverse_scale: Any, found_inf: Any, allow_fp16: bool) -> Any:
        return unscale(optimizer, inverse_scale, found_inf, True)

    accelerator.scaler._unscale_grads_ = allowing
