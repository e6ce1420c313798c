"""The optimizer's groups of a network: its parts, the U-Net's blocks, and LoRA+'s faster second matrices.

Source of LoRA+: Hayou et al., "LoRA+: Efficient Low Rank Adaptation of Large Models", 2024: B learns faster than A.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from torch import nn

Groups = list[dict[str, Any]]


@dataclass(frozen=True)
class Share:
    """Adapters that learn at one rate. `ratio`: how many times faster their second matrices do."""

    name: str
    adapters: tuple[nn.Module, ...]
    rate: float
    ratio: float | None = None


def parameter_groups(shares: Iterable[Share]) -> Groups:
    """Groups with `params`, `lr` and `name`; a rate of 0 makes none, and what stays is in none."""
    return [group for share in shares if share.rate for group in _groups(share)]


def _groups(share: Share) -> Iterator[dict[str, Any]]:
    everything = (named for adapter in share.adapters for named in adapter.named_parameters())
    named = [(name, parameter) for name, parameter in everything if parameter.requires_grad]
    fast = [parameter for name, parameter in named if share.ratio and name.startswith("lora_up")]
    slow = [parameter for name, parameter in named if not (share.ratio and name.startswith("lora_up"))]
    yield {"params": slow, "lr": share.rate, "name": share.name}
    if fast and share.ratio:
        yield {"params": fast, "lr": share.rate * share.ratio, "name": f"{share.name}_plus"}
