"""How gradients change weights: all at once, or as fused.py and zero.py do it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, Protocol

import torch
from torch import nn


class Steps(Protocol):
    """The way from the losses of a window's batches to changed weights.

    `apart`: the weights change in `finish`, so that how long that takes can be told from the backward pass.
    """

    apart: ClassVar[bool]

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Around the passes of a batch: processes exchange gradients with the `last` one of a window."""

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """The backward pass of a batch."""

    def finish(self) -> torch.Tensor:
        """After the last batch: the weights are changed and gradients gone. Gives the gradient's norm, not clipped."""


class WholeSteps:
    """All weights change once the window's gradients are added up and scaled down to `max_norm` together."""

    apart: ClassVar[bool] = True

    def __init__(
        self, accelerator: Any, module: nn.Module, optimizer: Any, parameters: Sequence[nn.Parameter], max_norm: float
    ) -> None:
        self._accelerator = accelerator
        self._module = module
        self._optimizer = optimizer
        self._parameters = parameters
        self._max_norm = max_norm
        # torch cannot leave an exchange out of a static graph; what was averaged before stays the same by another.
        self._each = bool(getattr(module, "static_graph", False))

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Once a window where that can be."""
        return nullcontext() if last or self._each else self._accelerator.no_sync(self._module)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Adds up gradients."""
        self._accelerator.backward(loss)

    def finish(self) -> torch.Tensor:
        """Clips and steps."""
        grad_norm: torch.Tensor = self._accelerator.clip_grad_norm_(self._parameters, self._max_norm)
        self._optimizer.step()
        self._optimizer.zero_grad()
        return grad_norm
