"""LoRAs of single ranks out of a DyLoRA, whose first ranks are a LoRA by themselves.

Source: Valipour et al., "DyLoRA: Parameter Efficient Tuning of Pre-trained Models using Dynamic Search-Free Low-Rank
Adaptation", 2023.
"""

from functools import partial
from pathlib import Path

from torch import Tensor

from sd_scripts.library.errors import BadOption
from sd_scripts.library.networks.files import write_network
from sd_scripts.library.networks.headers import Header
from sd_scripts.library.networks.stored import StoredNetwork
from sd_scripts.library.pausing import patiently
from sd_scripts.library.report import Report, counted


def split(network: StoredNetwork, unit: int, to: Path, r: Report) -> list[Path]:
    """Writes name-0004, name-0008, ...; gives the files. Errors: BadOption, where the ranks are no multiples."""
    whole = max(network.rank(key) for key in network.keys)
    for key in network.keys:
        if network.rank(key) % unit:
            fitting = f"which is no multiple of {unit}. Use the unit of its training"
            raise BadOption("unit", f"--unit {unit}: {network.path} has rank {network.rank(key)} in {key}, {fitting}.")
    ranks = range(unit, whole + 1, unit)
    r.phase("split", f"Taking {counted(len(ranks), 'LoRA')} out of {network.path}.", total=len(ranks))
    written = []
    for rank in r.each(ranks, len(ranks)):
        path = to.with_name(f"{to.stem}-{rank:04d}{to.suffix}")
        header = _header(network.metadata, whole, rank)
        patiently(r, path, partial(write_network, path, first_ranks(network, rank), None, header))
        r.saved(path, "model")
        written.append(path)
    return written


def first_ranks(network: StoredNetwork, rank: int) -> dict[str, Tensor]:
    """The tensors with no more ranks than these, each with the alpha that it had."""
    tensors = network.file.read()
    for key in network.keys:
        tensors[f"{key}.lora_down.weight"] = tensors[f"{key}.lora_down.weight"][:rank]
        tensors[f"{key}.lora_up.weight"] = tensors[f"{key}.lora_up.weight"][:, :rank]
    return tensors


def _header(old: Header, whole: int, rank: int) -> Header:
    comment = f"split from DyLoRA, rank {whole} to {rank}; {old.get('ss_training_comment', '')}".rstrip("; ")
    header = {key: text for key, text in old.items() if not key.startswith("sshs_") and key != "format"}
    return header | {
        "ss_training_comment": comment,
        "ss_network_dim": str(rank),
        "ss_network_module": "networks.lora",
    }
