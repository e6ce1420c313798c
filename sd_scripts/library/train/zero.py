"""DeepSpeed's ZeRO: its configuration, and its weights and states in one piece.

Source: Rajbhandari et al., "ZeRO: Memory Optimizations Toward Training Trillion Parameter Models", 2020.
"""

import os
import socket
from typing import Any

from sd_scripts.library.train.settings import TrainingSettings


def plugin(options: TrainingSettings) -> Any:
    """accelerate's DeepSpeedPlugin for the options."""
    from accelerate.utils import DeepSpeedPlugin

    _stand_alone()
    settings = options.zero
    made = DeepSpeedPlugin(
        zero_stage=settings.zero_stage,
        # The loop weighs its batches itself, so that to DeepSpeed each is a whole step's.
        gradient_accumulation_steps=1,
        gradient_clipping=options.optimizer.max_grad_norm,
        offload_optimizer_device=settings.offload_optimizer_device or "none",
        offload_optimizer_nvme_path=settings.offload_optimizer_nvme_path,
        offload_param_device=settings.offload_param_device or "none",
        offload_param_nvme_path=settings.offload_param_nvme_path,
        zero3_init_flag=settings.zero3_init_flag,
        zero3_save_16bit_model=settings.zero3_save_16bit_model,
    )
    made.deepspeed_config |= _more(options)
    return made


def _more(options: TrainingSettings) -> dict[str, Any]:
    """What the plugin has no arguments for."""
    batch_size = options.length.train_batch_size
    processes = int(os.environ["WORLD_SIZE"])
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": batch_size,
        "train_batch_size": batch_size * processes,
        # Any optimizer may lie in RAM, not only DeepSpeed's own.
        "zero_force_ds_cpu_optimizer": False,
    }
    if options.precision.mixed_precision == "fp16":
        config["fp16"] = {
            "enabled": True,
            "fp16_master_weights_and_grads": options.zero.fp16_master_weights_and_gradients,
        }
    return config


def _stand_alone() -> None:
    """One process that nobody launched is the first and last of its group."""
    if "RANK" not in os.environ:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        os.environ |= {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "1"}
        os.environ |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
