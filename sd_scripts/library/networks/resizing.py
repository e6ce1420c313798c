"""A LoRA in other ranks: the best approximation of each layer's change, with a rank that is given or follows a rule."""

import statistics
from dataclasses import dataclass

import torch
from torch import Tensor

from sd_scripts.library.networks.factors import singular_of
from sd_scripts.library.networks.headers import Header, common
from sd_scripts.library.networks.merging import alphas, linear_ranks
from sd_scripts.library.networks.ranks import DYNAMIC, Dynamic
from sd_scripts.library.networks.stored import StoredLora, StoredNetwork
from sd_scripts.library.report import Report, counted


@dataclass(frozen=True)
class Sizes:
    """The ranks that are asked for; with `method` they are the largest, and the rule finds those of the layers."""

    rank: int
    conv_rank: int
    method: Dynamic | None = None
    param: float = 0.0

    def rank_of(self, values_R: Tensor, is_wide_conv: bool) -> int:
        """The rank for a layer with these singular values."""
        largest = min(self.conv_rank if is_wide_conv else self.rank, len(values_R))
        return min(largest, DYNAMIC[self.method](values_R, self.param)) if self.method else largest


@dataclass(frozen=True)
class Kept:
    """What a layer keeps: its ranks before and after, shares of the sum of its singular values and of their length."""

    key: str
    old_rank: int
    rank: int
    sum_share: float
    length_share: float


def resized(
    network: StoredNetwork, sizes: Sizes, device: torch.device, r: Report
) -> tuple[dict[str, Tensor], list[Kept]]:
    """The tensors in other ranks, each layer with the scale that it had, and what is kept of each."""
    r.phase("resize_lora", f"Resizing {network.path}.", total=len(network.keys))
    tensors: dict[str, Tensor] = {}
    told: list[Kept] = []
    for key in r.whole(network.keys):
        lora = network.lora(key)
        made, kept = _resized(lora, sizes, device)
        tensors |= made
        told.append(kept)
    return tensors, told


def _resized(lora: StoredLora, sizes: Sizes, device: torch.device) -> tuple[dict[str, Tensor], Kept]:
    found = singular_of(lora.factors(device=device))
    rank = sizes.rank_of(found.values_R, lora.is_wide_conv)
    values_R = found.values_R.double()
    lengths_R = values_R.square()
    kept = Kept(lora.key, lora.rank, rank, _share(values_R, rank), _share(lengths_R, rank) ** 0.5)
    return lora.tensors(found.cut(rank), lora.scale * rank), kept


def _share(parts_R: Tensor, rank: int) -> float:
    """How much of all the first ones are; of nothing everything is kept."""
    whole = float(parts_R.sum())
    return float(parts_R[:rank].sum()) / whole if whole else 1.0


def header_of_resized(old: Header, tensors: dict[str, Tensor], sizes: Sizes, told: list[Kept]) -> Header:
    """The old header with the new ranks and, in its comment, what became of them."""
    before = max(kept.old_rank for kept in told)
    conv = "" if sizes.conv_rank == sizes.rank else f" (conv: {sizes.conv_rank})"
    done = f"dimension is resized from {before} to {sizes.rank}{conv}"
    if sizes.method:
        done = f"Dynamic resize with {sizes.method}: {sizes.param} from {before}"
    comment = "; ".join(part for part in (done, old.get("ss_training_comment", "")) if part not in ("", "None"))
    return old | {
        "ss_training_comment": comment,
        "ss_network_dim": common(linear_ranks(tensors)),
        "ss_network_alpha": common(alphas(tensors)),
    }


def tell(told: list[Kept], verbose: bool, r: Report) -> None:
    """What was kept, on the whole, and where asked for layer by layer."""
    for kept in told if verbose else []:
        shares = f"sum kept {kept.sum_share:.1%}, length kept {kept.length_share:.1%}"
        r.say(f"{kept.key}: rank {kept.old_rank} to {kept.rank}, {shares}")
    mean = statistics.fmean(kept.length_share for kept in told)
    least = min(told, key=lambda kept: kept.length_share)
    ranks = sorted({kept.rank for kept in told})
    shown = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
    text = f"{counted(len(told), 'layer')} of rank {shown} keep {mean:.1%} of their change's length on average"
    r.summary(f"{text}, {least.key} the least: {least.length_share:.1%}.", layers=len(told))
