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
