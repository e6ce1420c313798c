"""The ranks of a network: for each layer that is adapted its rank and alpha. Needs no torch to plan."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sd_scripts.library.errors import BadOption
from sd_scripts.library.models.adaptable import Adaptable, Blocks, Layer
from sd_scripts.library.networks.arguments import LoraFaArguments, Numbers, Ranks
from sd_scripts.library.networks.block_rates import block_weights

if TYPE_CHECKING:
    from torch import Tensor

DEFAULT_RANK, DEFAULT_ALPHA = 4, 1.0


@dataclass(frozen=True)
class Size:
    """Rank and alpha of one adapter: its change is scaled by alpha / rank. An alpha of 0 means the rank."""

    rank: int
    alpha: float

    @property
    def scale(self) -> float:
        """What the change is multiplied by."""
        return (self.alpha or self.rank) / self.rank


Plan = dict[str, Size]
"""{key of a layer: size}; what is not in it is not adapted."""


def plan_asked(adaptable: Adaptable, rank: int | None, alpha: float | None, asked: LoraFaArguments) -> Plan:
    """The plan that options ask for. Errors: BadOption, where a list is not as long as there are blocks."""
    blocks = adaptable.blocks
    linear = Size(rank or DEFAULT_RANK, DEFAULT_ALPHA if alpha is None else alpha)
    conv = Size(asked.conv_dim or 0, DEFAULT_ALPHA if asked.conv_alpha is None else asked.conv_alpha)
    check_lengths(asked, blocks)
    linears = _by_block(blocks, linear, asked.block_dims, asked.block_alphas)
    convs = _by_block(blocks, conv, asked.conv_block_dims, asked.conv_block_alphas)
    rates = block_weights(asked, blocks) or (1.0,) * blocks.total
    with_convs = asked.conv_dim is not None or asked.conv_block_dims is not None

    def size(layer: Layer) -> Size | None:
        if layer.block is None:
            return linear
        if rates[layer.block] == 0 or (layer.among_convs and not with_convs):
            return None
        return (convs if layer.is_wide_conv else linears)[layer.block]

    sizes = {layer.key: size(layer) for layer in adaptable.layers}
    return {key: found for key, found in sizes.items() if found and found.rank}


def plan_of(tensors: Mapping[str, "Tensor"]) -> Plan:
    """The plan of a file's tensors; without an alpha it is the rank."""
    ranks = {
        name.removesuffix(".lora_down.weight"): len(tensor)
        for name, tensor in tensors.items()
        if name.endswith(".lora_down.weight")
    }
    alphas = {key: tensors.get(f"{key}.alpha") for key in ranks}
    return {key: Size(rank, float(rank if (alpha := alphas[key]) is None else alpha)) for key, rank in ranks.items()}


def check_lengths(asked: LoraFaArguments, blocks: Blocks) -> None:
    """A list has a number for each block. Errors: BadOption."""
    for name in ("block_dims", "block_alphas", "conv_block_dims", "conv_block_alphas"):
        given = getattr(asked, name)
        if given is not None and len(given) != blocks.total:
            parts = (blocks.before, blocks.down, blocks.mid, blocks.up, blocks.after)
            counted = " + ".join(str(number) for number in parts if number)
            sentence = f"{name} has {len(given)} numbers, and there are {blocks.total} blocks ({counted})."
            raise BadOption("network_args", f"--network_args {sentence}")


def _by_block(blocks: Blocks, same: Size, ranks: Ranks | None, alphas: Numbers | None) -> list[Size]:
    ranks, alphas = ranks or (same.rank,) * blocks.total, alphas or (same.alpha,) * blocks.total
    return [Size(rank, alpha) for rank, alpha in zip(ranks, alphas, strict=True)]
