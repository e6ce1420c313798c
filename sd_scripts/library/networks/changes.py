"""What a network adds to the weight of one layer.

Sources: Hu et al., "LoRA", 2021 (section 4.1); Liu et al., "DoRA", 2024 (equation 5).
"""

import torch
from torch import Tensor

from sd_scripts.library.networks.stored import StoredLora


def with_network(weight: Tensor, lora: StoredLora, strength: float, dtype: torch.dtype = torch.float32) -> Tensor:
    """The weight with a network's change in it, computed in `dtype`."""
    weight = weight.to(dtype)
    product = lora_change(lora, dtype).view(weight.shape)
    change = product if lora.dora_scale is None else dora_change(weight, product, lora.dora_scale.to(dtype))
    # In place, as a layer's weight may be large; the weight itself is the file's.
    return change.mul_(strength).add_(weight)


def lora_change(lora: StoredLora, dtype: torch.dtype) -> Tensor:
    """alpha / r * B A, as a matrix."""
    return (lora.up.to(dtype).flatten(1) @ lora.down.to(dtype).flatten(1)).mul_(lora.scale)


def dora_change(weight: Tensor, product: Tensor, lengths: Tensor) -> Tensor:
    """m * V / |V| - W with V = W + alpha / r * B A. `lengths` (m) has one number for each row of V, as DoRA has it, or
    for each column, as some of LyCORIS have it: its shape tells."""
    turned = weight + product
    across = [axis for axis in range(weight.ndim) if lengths.shape[axis] == 1]
    norms = torch.linalg.vector_norm(turned, dim=across, keepdim=True).clamp(min=torch.finfo(turned.dtype).tiny)
    return turned * (lengths / norms) - weight


def fits(shape: tuple[int, ...], lora: StoredLora) -> bool:
    """Whether the change has the size of a weight."""
    return len(lora.up) == shape[0] and lora.down[0].numel() == torch.Size(shape[1:]).numel()
