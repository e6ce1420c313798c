"""Figures that are on their way from the device: reading them waits for what made them, and for nothing after it."""

from collections.abc import Sequence
from typing import Any

import torch


class Late:
    """Numbers of one step.

    On CUDA they are copied as soon as they are there, in the device's own queue, and an event says when that is done.
    Asked for with `.item()` only when they are read, they would wait for all that was queued since.
    """

    def __init__(self, figures: Sequence[torch.Tensor]) -> None:
        device = figures[0].device
        flat = [figure.detach().to(device, torch.float32, non_blocking=True).reshape(-1) for figure in figures]
        self._numbers_N = torch.cat(flat)
        self._arrived: Any = None
        if device.type == "cuda":
            host_N = torch.empty(self._numbers_N.shape, pin_memory=True)
            self._numbers_N = host_N.copy_(self._numbers_N, non_blocking=True)
            self._arrived = torch.cuda.Event()
            self._arrived.record()

    def read(self) -> list[float]:
        """All of them, in their order."""
        if self._arrived is not None:
            self._arrived.synchronize()
        return [float(number) for number in self._numbers_N.tolist()]
