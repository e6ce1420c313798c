"""Other tensors in place of a module's own, where its state is asked for."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import nn


def replace_in_state(module: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Any:
    """From now on module.state_dict() gives `tensors` under their names; `remove()` of what is returned ends that."""

    def give(module: nn.Module, state: dict[str, torch.Tensor], prefix: str, metadata: Any) -> None:
        state.update({prefix + name: tensor for name, tensor in tensors.items()})

    return module.register_state_dict_post_hook(give)
