"""The adapter of one layer: a change of low rank beside weights that stay.

Sources: Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models", 2021 (section 4.1);
Liu et al., "DoRA: Weight-Decomposed Low-Rank Adaptation", 2024 (equation 5, and section 4.3 on its gradient);
Zhang et al., "LoRA-FA: Memory-efficient Low-rank Adaptation", 2023 (section 3.2);
Valipour et al., "DyLoRA: Parameter-Efficient Tuning of Pretrained Models", 2023 (section 3.2).
"""

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from sd_scripts.library.models.adaptable import Layer
from sd_scripts.library.networks.plan import Size


@dataclass(frozen=True)
class Dropouts:
    """Shares that are left out by lot while training: of the numbers between the matrices, of ranks, of adapters."""

    neurons: float = 0.0
    ranks: float = 0.0
    modules: float = 0.0


class Adapter(nn.Module):
    """What changes the output of one layer, whose own weights stay. `lora_name` is its name in files."""

    alpha: Tensor
    stays: ClassVar[tuple[str, ...]] = ()
    """Names of parameters that are not trained."""

    def __init__(self, layer: Layer, alpha: float) -> None:
        super().__init__()
        self.lora_name = layer.key
        self.register_buffer("alpha", torch.tensor(float(alpha)))
        self.multiplier = 1.0
        # In a list: the layer belongs to the model, not to the network.
        self._layer: list[Any] = [layer.module]

    @property
    def layer(self) -> Any:
        """The layer that is adapted."""
        return self._layer[0]

    @property
    def rank(self) -> int:
        """Its size: what --network_dim says."""
        raise NotImplementedError

    def attach(self) -> None:
        """From now on the layer gives its output with the change."""
        self.layer.register_forward_hook(lambda layer, inputs, output: self(inputs[0], output))

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        """The layer's output for `x` with the change."""
        raise NotImplementedError

    @torch.no_grad()
    def weight_change(self) -> Tensor:
        """What is to be added to the layer's weight, in float32, on the adapter's device."""
        raise NotImplementedError


class LoraAdapter(Adapter):
    """W x becomes W x + alpha / r * B A x: A (`lora_down`) leads to r numbers, B (`lora_up`), 0 at first, from them.

    For a convolution A has its window and stride, and B is 1 x 1. Names are those of files.
    """

    def __init__(self, layer: Layer, size: Size, dropouts: Dropouts) -> None:
        super().__init__(layer, size.alpha or size.rank)
        self.lora_down, self.lora_up = _matrices(layer.module, size.rank)
        self.begin()
        nn.init.zeros_(self.lora_up.weight)
        self.dropouts = dropouts
        self._drops = dropouts != Dropouts()
        self.scale = size.scale
        self.register_load_state_dict_post_hook(_take_scale)

    def begin(self) -> None:
        """Fills A by lot."""
        nn.init.kaiming_uniform_(self.lora_down.weight, a=math.sqrt(5))

    @property
    def rank(self) -> int:
        """The rank r of the change."""
        return len(self.lora_down.weight)

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        """W x with the change added."""
        change = self.change(x)
        # Once for each layer in each step: what changes nothing takes time all the same.
        if self.multiplier != 1.0:
            change = change * self.multiplier
        return output + change.to(output.dtype)

    def change(self, x: Tensor) -> Tensor:
        """alpha / r * B A x, while training with what is dropped by lot."""
        hidden = self.lora_down(x)
        if not (self.training and self._drops):
            return self.lora_up(hidden) * self.scale
        hidden = nn.functional.dropout(hidden, self.dropouts.neurons)
        change: Tensor = self.lora_up(_drop_ranks(hidden, self.dropouts.ranks)) * self.scale
        return _drop_whole(change, self.dropouts.modules)

    @torch.no_grad()
    def weight_change(self) -> Tensor:
        """alpha / r * B A."""
        return self._product() * self.multiplier

    @torch.no_grad()
    def norm(self) -> Tensor:
        """The Euclidean norm of alpha / r * B A, without making the product: |BA|^2 is the sum over B'B * AA'."""
        up, down = self._up(), self._down()
        return ((up.T @ up) * (down @ down.T)).sum().clamp(min=0).sqrt() * self.scale

    @torch.no_grad()
    def shrink(self, factor: Tensor) -> None:
        """Multiplies B A by `factor`, half of it in either."""
        self.lora_up.weight.mul_(factor.sqrt())
        self.lora_down.weight.mul_(factor.sqrt())

    def _product(self) -> Tensor:
        return (self._up() @ self._down()).view(self.layer.weight.shape) * self.scale

    def _up(self) -> Tensor:
        return self.lora_up.weight.float().flatten(1)

    def _down(self) -> Tensor:
        return self.lora_down.weight.float().flatten(1)


class FrozenDownAdapter(LoraAdapter):
    """LoRA-FA: A stays as it was drawn, so that the layer's input need not be kept for the backward pass."""

    stays = ("lora_down.weight",)

    def begin(self) -> None:
        """Fills A by lot, from a normal distribution."""
        width = self.lora_down.weight.shape[1]
        nn.init.normal_(self.lora_down.weight, std=math.sqrt(2 / (width + self.rank)))


class NestedAdapter(LoraAdapter):
    """DyLoRA: the first ranks are a network of their own, so that a file may be cut to any number of them.

    While training a number r of ranks is drawn, a multiple of `unit`: only the first r take part, with alpha / r, and
    of these only the last `unit` learn. So a file that is cut to r ranks, its alpha kept, is what was trained.
    """

    def __init__(self, layer: Layer, size: Size, unit: int) -> None:
        super().__init__(layer, size, Dropouts())
        self.unit = unit

    def change(self, x: Tensor) -> Tensor:
        """alpha / r * B A x, while training with the ranks that are drawn."""
        if not self.training:
            return super().change(x)
        r = self.unit * (1 + int(torch.randint(self.rank // self.unit, ())))
        down, up = (_end_learns(matrix.weight, r, self.unit, axis) for matrix, axis in self._axes())
        if isinstance(self.lora_down, nn.Conv2d):
            hidden = self.lora_down._conv_forward(x, down, None)
            return nn.functional.conv2d(hidden, up) * (self.scale * self.rank / r)
        hidden = nn.functional.linear(x, down)
        return nn.functional.linear(hidden, up) * (self.scale * self.rank / r)

    def _axes(self) -> tuple[tuple[Any, int], tuple[Any, int]]:
        """The matrices, each with its axis of ranks."""
        return (self.lora_down, 0), (self.lora_up, 1)


class DoraAdapter(LoraAdapter):
    """W becomes m * V / |V| with V = W + alpha / r * B A: a length of its own (`dora_scale`) for each row of V.

    The norm |V| is taken as a constant in the backward pass.
    """

    def __init__(self, layer: Layer, size: Size, dropouts: Dropouts) -> None:
        super().__init__(layer, size, dropouts)
        weight = layer.module.weight
        rows = torch.linalg.vector_norm(weight.detach().float().flatten(1), dim=1)
        self.dora_scale = nn.Parameter(rows.view(-1, *[1] * (weight.ndim - 1)))

    def forward(self, x: Tensor, output: Tensor) -> Tensor:
        """The layer's output for `x` with direction and length changed."""
        bias = _along_channels(self.layer.bias, output) if self.layer.bias is not None else 0.0
        turned = output - bias + self.change(x)
        stretch = _along_channels(self.dora_scale.flatten() / self._row_norms(), output)
        return output + ((turned * stretch + bias - output) * self.multiplier).to(output.dtype)

    @torch.no_grad()
    def weight_change(self) -> Tensor:
        """What is to be added to the layer's weight."""
        weight = self.layer.weight.float()
        turned = weight + self._product()
        stretch = self.dora_scale.float() / self._row_norms().view_as(self.dora_scale)
        return (turned * stretch - weight) * self.multiplier

    @torch.no_grad()
    def _row_norms(self) -> Tensor:
        """|V| by rows, from products of r columns: V itself would be as large as W."""
        weight, up, down = self.layer.weight.float().flatten(1), self._up() * self.scale, self._down()
        both = (weight.square().sum(1), 2 * (up * (weight @ down.T)).sum(1), (up * (up @ (down @ down.T))).sum(1))
        return torch.stack(both).sum(0).clamp(min=1e-12).sqrt()


def _end_learns(matrix: Tensor, r: int, unit: int, axis: int) -> Tensor:
    """The first r ranks, of which only the last `unit` have gradients."""
    kept = matrix.narrow(axis, 0, r - unit).detach()
    return torch.cat((kept, matrix.narrow(axis, r - unit, unit)), axis)


def _matrices(module: Any, rank: int) -> tuple[nn.Module, nn.Module]:
    """A and B for a layer."""
    if not isinstance(module, nn.Conv2d):
        return nn.Linear(module.in_features, rank, bias=False), nn.Linear(rank, module.out_features, bias=False)
    window: dict[str, Any] = {name: getattr(module, name) for name in ("kernel_size", "stride", "padding", "dilation")}
    down = nn.Conv2d(module.in_channels, rank, **window, padding_mode=module.padding_mode, bias=False)
    return down, nn.Conv2d(rank, module.out_channels, 1, bias=False)


def _take_scale(adapter: nn.Module, _keys: Any) -> None:
    """Weights that are loaded bring their alpha."""
    assert isinstance(adapter, LoraAdapter)
    adapter.scale = float(adapter.alpha) / adapter.rank


def _drop_ranks(hidden: Tensor, share: float) -> Tensor:
    """Leaves out some ranks of each item, and scales the others up in return."""
    if not share:
        return hidden
    ranks_BR = (len(hidden), hidden.shape[1 if hidden.ndim == 4 else -1])
    kept_BR = (torch.rand(ranks_BR, device=hidden.device) >= share) / (1 - share)
    shape = (*ranks_BR, 1, 1) if hidden.ndim == 4 else (len(hidden), *[1] * (hidden.ndim - 2), ranks_BR[1])
    return hidden * kept_BR.view(shape).to(hidden.dtype)


def _drop_whole(change: Tensor, share: float) -> Tensor:
    """Leaves out the whole change, by one lot for all items. By 0 and not by a way around it: each matrix has a
    gradient then, which several processes wait for."""
    if not share:
        return change
    return change * (torch.rand((), device=change.device) >= share).to(change.dtype)


def _along_channels(numbers: Tensor, output: Tensor) -> Tensor:
    """A number for each channel, so that it goes with the layer's output."""
    return numbers.view(-1, 1, 1) if output.ndim == 4 else numbers
