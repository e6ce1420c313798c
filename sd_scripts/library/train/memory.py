"""How much memory a training holds: what the host and the device say without being waited for."""

import time
from collections.abc import Callable

import psutil
import torch

# A look costs half a millisecond, and there may be many steps a second.
LOOK_EVERY_S = 0.5


class MemoryGauge:
    """Figures in bytes: of this process, and of the GPU where there is one. They may be half a second old."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._figures: dict[str, float] = {}
        self._looked_s = 0.0
        self._gpu_total = torch.cuda.get_device_properties().total_memory if torch.cuda.is_available() else 0

    def read(self) -> dict[str, float]:
        """`memory_bytes`: what the process holds. On a GPU also what tensors hold, their most so far, and its size."""
        now_s = time.monotonic()
        if not self._figures or now_s - self._looked_s > LOOK_EVERY_S:
            self._figures, self._looked_s = self._look(), now_s
        return self._figures

    def _look(self) -> dict[str, float]:
        figures = {"memory_bytes": float(self._process.memory_info().rss)}
        if self._gpu_total:
            figures |= {name: float(read()) for name, read in _GPU.items()}
            figures["gpu_total_bytes"] = float(self._gpu_total)
        return figures


_GPU: dict[str, Callable[[], int]] = {
    "gpu_bytes": torch.cuda.memory_allocated,
    "gpu_peak_bytes": torch.cuda.max_memory_allocated,
}
