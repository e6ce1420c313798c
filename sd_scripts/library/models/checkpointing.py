"""Gradient checkpointing whose checkpoints wait in RAM.

Source: Chen et al., "Training Deep Nets with Sublinear Memory Cost", 2016.
"""

from typing import Any

import torch
from torch import nn
from torch.autograd.graph import save_on_cpu
from torch.utils.checkpoint import checkpoint


def checkpoint_in_ram(module: nn.Module, *inputs: Any) -> Any:
    """module(*inputs), of which the backward pass keeps nothing but the inputs, and those in RAM."""
    with save_on_cpu(pin_memory=torch.cuda.is_available()):
        return checkpoint(module.__call__, *inputs, use_reentrant=False)


def keep_below(unet: Any, levels: int) -> None:
    """Nothing is recomputed below the `levels` of highest resolution, once gradient checkpointing is on.

    There are the fewest channels: of all that is kept most lies there, and it takes the least time to compute.
    """
    coarser = len(unet.down_blocks) - levels
    if coarser <= 0:
        return
    blocks = [*unet.down_blocks[levels:], unet.mid_block, *unet.up_blocks[:coarser]]
    for module in (module for block in blocks for module in block.modules()):
        if hasattr(module, "gradient_checkpointing"):
            module.gradient_checkpointing = False
