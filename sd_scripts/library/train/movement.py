"""Whether what was to be trained has changed: a look at a few weights of each tensor before and after."""

import torch
from torch import nn

WEIGHTS_PER_TENSOR = 256


class Movement:
    """Remembers a few weights of each trained part."""

    def __init__(self, parts: dict[str, nn.Module]) -> None:
        self._parts = parts
        self._before = {part: _glance(module) for part, module in parts.items()}

    def norms(self) -> dict[str, float]:
        """The Euclidean norm of the change of the remembered weights, by part."""
        return {part: float((_glance(self._parts[part]) - before).norm()) for part, before in self._before.items()}


@torch.no_grad()
def _glance(module: nn.Module) -> torch.Tensor:
    # From its state: that is whole even where processes hold parts of the parameters.
    taken = [tensor.flatten()[:WEIGHTS_PER_TENSOR].float() for tensor in module.state_dict().values()]
    return torch.cat(taken).cpu()
