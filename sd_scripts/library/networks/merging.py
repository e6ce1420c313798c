"""Networks merged with each other: a LoRA whose change is the weighted sum of theirs."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.networks.factors import Factors, shortest, shuffled, singular_of, sum_of
from sd_scripts.library.networks.files import write_network
from sd_scripts.library.networks.headers import Header, network_header, network_spec, version_told
from sd_scripts.library.networks.into_model import Strong
from sd_scripts.library.networks.stored import StoredLora, one_base
from sd_scripts.library.report import Report, counted

Tensors = dict[str, Tensor]
Joined = Callable[[StoredLora, Sequence[Factors]], Factors]
"""From what each network adds to a layer to the matrices of the merged one; the LoRA is one of those that have it."""


def merged(
    networks: Sequence[Strong], join: Joined, dtype: torch.dtype, r: Report, device: torch.device | None = None
) -> Tensors:
    """The tensors of the merged network, its alphas the ranks. `dtype`: what numbers are rounded to before.

    Errors: BadFile, where the networks do not fit each other.
    """
    one_base([strong.network for strong in networks])
    keys = list(dict.fromkeys(key for strong in networks for key in strong.network.keys))
    r.phase("merge", f"Merging {counted(len(networks), 'network')}.", total=len(keys))
    tensors: Tensors = {}
    for key in r.whole(keys):
        having = [strong for strong in networks if strong.network.has(key)]
        loras = [strong.network.lora(key) for strong in having]
        _check_sizes(having, loras)
        parts = [
            lora.factors(dtype, device).times(lora.scale * strong.at(key))
            for lora, strong in zip(loras, having, strict=True)
        ]
        found = join(loras[0], parts)
        tensors |= loras[0].tensors(found, found.rank)
    return tensors


def joined(concat: bool, shuffle: bool) -> Joined:
    """The sum itself: matrices side by side, or in as low a rank as it has; its ranks may be put in another order."""
    generator = torch.Generator().manual_seed(0)

    def join(_lora: StoredLora, parts: Sequence[Factors]) -> Factors:
        found = sum_of(parts) if concat else shortest(sum_of(parts))
        return shuffled(found, generator) if shuffle else found

    return join


def approximated(rank: int, conv_rank: int) -> Joined:
    """The best approximation of the sum with a rank for linear layers, and one for wide convolutions."""

    def join(lora: StoredLora, parts: Sequence[Factors]) -> Factors:
        return singular_of(sum_of(parts)).cut(conv_rank if lora.is_wide_conv else rank)

    return join


def write_merged(
    path: Path, tensors: Tensors, networks: Sequence[Strong], v2: bool, dtype: torch.dtype, with_spec: bool
) -> None:
    """Writes the merged network with its header. Errors: BadFile."""
    base = one_base([strong.network for strong in networks])
    version = version_told([strong.network.metadata for strong in networks], base, v2)
    names = [str(strong.network.path) for strong in networks]
    write_network(path, tensors, dtype, header_of(path, tensors, version, names if with_spec else None))


def header_of(path: Path, tensors: Mapping[str, Tensor], version: str, merged_from: Sequence[str] | None) -> Header:
    """The header of a LoRA's tensors; `merged_from` None leaves out the model-spec."""
    spec = network_spec(path, version, merged_from) if merged_from is not None else {}
    return spec | network_header(version, linear_ranks(tensors), alphas(tensors))


def linear_ranks(tensors: Mapping[str, Tensor]) -> Iterable[int]:
    """The ranks, but for those of wide convolutions."""
    downs = [tensor for name, tensor in tensors.items() if name.endswith(".lora_down.weight")]
    narrow = [tensor for tensor in downs if tensor.ndim == 2 or tuple(tensor.shape[2:]) == (1, 1)]
    return {len(tensor) for tensor in narrow or downs}


def alphas(tensors: Mapping[str, Tensor]) -> Iterable[float]:
    """The alphas of the same layers."""
    keys = [name.removesuffix(".lora_down.weight") for name in tensors if name.endswith(".lora_down.weight")]
    wide = [key for key in keys if (down := tensors[f"{key}.lora_down.weight"]).ndim == 4 and down.shape[2] > 1]
    return {float(tensors[f"{key}.alpha"]) for key in keys if key not in wide or len(wide) == len(keys)}


def _check_sizes(networks: Sequence[Strong], loras: Sequence[StoredLora]) -> None:
    """Raises BadFile where two networks change layers of different sizes."""
    for strong, lora in zip(networks, loras, strict=True):
        if (len(lora.up), *lora.down.shape[1:]) != (len(loras[0].up), *loras[0].down.shape[1:]):
            first = networks[0].network.path
            kinds = f"{strong.network.path} is for another kind of model than {first}: {lora.key} differs in size"
            raise BadFile(f"{kinds}. Choose networks for one kind of model.")
