"""Orthogonal fine-tuning: what a layer gives is turned, block by block of its channels, and keeps its angles there.

Source: Qiu et al., "Controlling Text-to-Image Diffusion by Orthogonal Finetuning", 2023 (section 3, with the Cayley
transform of its equation 4).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from sd_scripts.library.models.adaptable import Layer
from sd_scripts.library.networks.adapter import Adapter


@dataclass(frozen=True)
class Turning:
    """Number of blocks, and how far they may turn: the norm of all Q of a layer stays below limit * its channels."""

    blocks: int
    limit: float


class OftAdapter(Adapter):
    """W becomes R' W for each block of rows, R = (I + Q) / (I - Q) with Q = P - P', P (`oft_blocks`) 0 at first."""

    def __init__(self, layer: Layer, turning: Turning) -> None:
        super().__init__(layer, turning.limit)
        self.channels = channels_of(layer)
        width = self.channels // turning.blocks
        self.oft_blocks = nn.Parameter(torch.zeros(turning.blocks, width, width))

    @property
    def rank(self) -> int:
        """The number of blocks."""
        return len(self.oft_blocks)

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        """The layer's output, turned; its bias is not."""
        channel = 1 if output.ndim == 4 else -1
        rows = output if self.layer.bias is None else output - _along(self.layer.bias, output)
        blocks = rows.movedim(channel, -1).unflatten(-1, self.oft_blocks.shape[:2])
        change = torch.einsum("...kn,knm->...km", blocks, self._turn().to(blocks.dtype))
        return output + (change.flatten(-2).movedim(-1, channel) * self.multiplier).to(output.dtype)

    @torch.no_grad()
    def weight_change(self) -> Tensor:
        """(R' - I) W."""
        weight = self.layer.weight.float()
        blocks = weight.flatten(1).unflatten(0, self.oft_blocks.shape[:2])
        return torch.einsum("kni,knm->kmi", blocks, self._turn()).reshape(weight.shape) * self.multiplier

    def _turn(self) -> Tensor:
        """R - I of each block, which is 2 Q / (I - Q), in float32."""
        half = self.oft_blocks.float()
        q = half - half.mT
        norm = torch.linalg.vector_norm(q)
        limit = float(self.alpha) * self.channels
        q = q * ((norm.clamp(max=limit) + 1e-8) / (norm + 1e-8))
        identity = torch.eye(q.shape[-1], device=q.device)
        return torch.linalg.solve(identity - q, 2 * q)


def channels_of(layer: Layer) -> int:
    """How many channels a layer gives."""
    module = layer.module
    return int(module.out_channels if isinstance(module, nn.Conv2d) else module.out_features)


def _along(numbers: Tensor, output: Tensor) -> Tensor:
    return numbers.view(-1, 1, 1) if output.ndim == 4 else numbers
