"""How much memory a training holds: what the host and the device say without being waited for."""

from collections.abc import Callable

import psutil
import torch


class MemoryGauge:
    """Figures in bytes: of this process, and of the GPU where there is one."""

    def __init__(self) -> None:
        self._process = psutil.Process()
        self._gpu_total = torch.cuda.get_device_properties().total_memory if torch.cuda.is_available() else 0

    def read(self) -> dict[str, float]:
        """`memory_bytes`: what the process holds. On a GPU also what tensors hold, their most so far, and its size."""
        figures = {"memory_bytes": float(self._process.memory_info().rss)}
        if self._gpu_total:
            figures |= {name: float(read()) for name, read in _GPU.items()}
            figures["gpu_total_bytes"] = float(self._gpu_total)
        return figures


_GPU: dict[str, Callable[[], int]] = {
    "gpu_bytes": torch.cuda.memory_allocated,
    "gpu_peak_bytes": torch.cuda.max_memory_allocated,
}
