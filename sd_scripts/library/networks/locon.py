"""What a model has learnt since another, as LyCORIS' LoCon: ranks by a rule for each layer, whole differences where
those are smaller, and what a low rank misses as a few single numbers.

Source: the file layout that LyCORIS reads (lora_up, lora_mid, lora_down, diff, diff_b, w_norm, b_norm, bias_*).
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.models.original import StoredLayer, piece
from sd_scripts.library.networks.extracting import Pair
from sd_scripts.library.networks.factors import Factors, singular_of_matrix
from sd_scripts.library.networks.ranks import above, of_sum
from sd_scripts.library.report import Report

Mode = Literal["fixed", "full", "threshold", "ratio", "quantile"]
_DTYPE = torch.float16

_RULES: dict[str, Callable[[Tensor, float], int]] = {
    "fixed": lambda values_R, rank: int(rank),
    "threshold": above,
    "ratio": lambda values_R, share: above(values_R, float(values_R[0]) * share),
    "quantile": of_sum,
}
"""From singular values and a mode's number to a rank."""


@dataclass(frozen=True)
class LoconAsked:
    """The mode with its numbers for linear layers and for 3x3 convolutions. `sparsity`: of what is kept besides, the
    share that is left out; None keeps nothing besides. `three`: a convolution in three matrices."""

    mode: Mode
    linear: float
    conv: float
    device: torch.device
    sparsity: float | None = None
    three: bool = True


def extract_locon(pair: Pair, asked: LoconAsked, r: Report) -> dict[str, Tensor]:
    """The tensors of a LoCon; layers that have not changed are left out. Errors: BadFile."""
    pair.check()
    layers = [layer for layer in pair.before.layers.values() if asked.mode == "full" or _is_matrix(pair, layer)]
    r.phase("extract", f"Extracting what {pair.after.path} has learnt since {pair.before.path}.", total=len(layers))
    tensors: dict[str, Tensor] = {}
    for layer in r.whole(layers):
        for name, tensor in _of_layer(pair, layer, asked):
            tensors[f"{layer.key}.{name}"] = tensor.cpu().contiguous()
    if not tensors:
        raise BadFile(f"{pair.before.path} and {pair.after.path} are the same: there is nothing to extract.")
    return tensors


def _of_layer(pair: Pair, layer: StoredLayer, asked: LoconAsked) -> Iterator[tuple[str, Tensor]]:
    """Names and tensors of one layer."""
    change = pair.change(layer, asked.device)
    if asked.mode == "full":
        bias = bias_change(pair, layer)
        if change.any() or (bias is not None and bias.any()):
            weight_name, bias_name = ("w_norm", "b_norm") if change.ndim == 1 else ("diff", "diff_b")
            yield weight_name, change.to(_DTYPE)
            yield from [(bias_name, bias.to(_DTYPE))] if bias is not None else []
        return
    if change.any():
        yield from _low_rank(change, asked)


def _low_rank(change: Tensor, asked: LoconAsked) -> Iterator[tuple[str, Tensor]]:
    found = singular_of_matrix(change.flatten(1))
    wide = change.ndim == 4 and tuple(change.shape[2:]) != (1, 1)
    rank = min(_RULES[asked.mode](found.values_R, asked.conv if wide else asked.linear), *change.shape[:2])
    if rank >= len(change) / 2:
        yield "diff", change.to(_DTYPE)
        return
    factors = found.cut(rank)
    matrices = in_three(factors, change) if wide and asked.three else in_two(factors, change)
    rounded = {name: matrix.to(_DTYPE) for name, matrix in matrices.items()}
    yield from rounded.items()
    yield "alpha", torch.tensor(float(rank), dtype=_DTYPE)
    if asked.sparsity is not None:
        missed = change.flatten(1) - product(rounded, change).flatten(1)
        yield from largest(missed, asked.sparsity)


def in_two(factors: Factors, change: Tensor) -> dict[str, Tensor]:
    """The two matrices of a layer, of which the first has a convolution's window."""
    up = factors.up_OR.reshape(*factors.up_OR.shape, *[1] * (change.ndim - 2))
    return {"lora_up.weight": up, "lora_down.weight": factors.down_RI.reshape(factors.rank, *change.shape[1:])}


def in_three(factors: Factors, change: Tensor) -> dict[str, Tensor]:
    """The same with the window in a third one between them, which no longer has all input channels: so the input's
    most important directions are kept, as many as there are ranks."""
    rank, window = factors.rank, change.shape[2:]
    down_RIHW = factors.down_RI.reshape(rank, change.shape[1], *window)
    inward = singular_of_matrix(down_RIHW.transpose(0, 1).flatten(1)).cut(rank)
    mid_RSHW = inward.down_RI.reshape(-1, rank, *window).transpose(0, 1)
    return {
        "lora_up.weight": factors.up_OR[:, :, None, None],
        "lora_mid.weight": mid_RSHW,
        "lora_down.weight": inward.up_OR.T[:, :, None, None],
    }


def product(matrices: dict[str, Tensor], change: Tensor) -> Tensor:
    """The change that two or three matrices are."""
    up_OR, down = matrices["lora_up.weight"].float().flatten(1), matrices["lora_down.weight"].float()
    if "lora_mid.weight" in matrices:
        mid_RSHW = matrices["lora_mid.weight"].float()
        return torch.einsum("or,rshw,si->oihw", up_OR, mid_RSHW, down.flatten(1))
    return (up_OR @ down.flatten(1)).view(change.shape)


def largest(missed_OI: Tensor, sparsity: float) -> Iterator[tuple[str, Tensor]]:
    """The largest numbers of a matrix, by magnitude; `sparsity`: the share that is left out."""
    kept = max(1, round((1 - sparsity) * missed_OI.numel()))
    places = missed_OI.abs().flatten().topk(kept).indices.sort().values
    indices = torch.stack([places // missed_OI.shape[1], places % missed_OI.shape[1]])
    # Two bytes, as LyCORIS writes them: what is larger wraps around.
    yield "bias_indices", indices.to(torch.int16)
    yield "bias_values", missed_OI.flatten()[places].to(_DTYPE)
    yield "bias_size", torch.tensor(missed_OI.shape).to(torch.int16)


def bias_change(pair: Pair, layer: StoredLayer) -> Tensor | None:
    """What a layer's bias has gained, in float32; None where it has none."""
    if layer.bias not in pair.before.tensors.shapes:
        return None
    before, after = (
        piece(model.tensors.tensor(layer.bias), layer).to(pair.dtype or torch.float32).float()
        for model in (pair.before, pair.after)
    )
    return after - before


def _is_matrix(pair: Pair, layer: StoredLayer) -> bool:
    """Whether it is a linear layer or a convolution: no norm, and no table of words or positions."""
    return len(pair.before.shape(layer)) > 1 and "_embeddings_" not in layer.key
