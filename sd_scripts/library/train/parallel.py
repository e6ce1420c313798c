"""Several processes: what the options mean to accelerate."""

from datetime import timedelta
from typing import Any

import torch

from sd_scripts.library.train import zero
from sd_scripts.options.trainer import TrainerOptions


def accelerator_arguments(options: TrainerOptions) -> dict[str, Any]:
    """What accelerate's Accelerator is made with, so that processes wait and exchange gradients as asked for."""
    arguments: dict[str, Any] = {"kwargs_handlers": _handlers(options)}
    if options.zero.deepspeed:
        arguments["deepspeed_plugin"] = zero.plugin(options)
    return arguments


def allow_autocast(accelerator: Any) -> None:
    """accelerate leaves mixed precision to DeepSpeed, which casts what is trained; the rest needs it as well."""
    accelerator.native_amp = accelerator.mixed_precision != "no"


def _handlers(options: TrainerOptions) -> list[Any]:
    from accelerate.utils import DistributedDataParallelKwargs, InitProcessGroupKwargs

    parallel = options.parallel
    exchange = DistributedDataParallelKwargs(
        find_unused_parameters=options.some_weights_wait,
        gradient_as_bucket_view=parallel.ddp_gradient_as_bucket_view,
        static_graph=parallel.ddp_static_graph,
    )
    group: dict[str, Any] = {}
    if parallel.ddp_timeout is not None:
        group["timeout"] = timedelta(minutes=parallel.ddp_timeout)
    if options.zero.deepspeed and not torch.cuda.is_available():
        # With DeepSpeed accelerate chooses no way of exchange for processors by itself.
        group["backend"] = "gloo"
    # Only where something is asked for: by itself this changes the time that GPUs wait.
    return [exchange, InitProcessGroupKwargs(**group)] if group else [exchange]
