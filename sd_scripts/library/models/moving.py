"""Tensors on their way to the device."""

import torch


def moved(tensor: torch.Tensor, device: torch.device) -> torch.Tensor:
    """The tensor on a device. The host does not wait: to CUDA it goes from memory that stays in its place, as any other
    copy waits until the device has done all that was asked of it before."""
    if device.type == "cuda" and tensor.device.type == "cpu":
        tensor = tensor.pin_memory()
    return tensor.to(device, non_blocking=True)
