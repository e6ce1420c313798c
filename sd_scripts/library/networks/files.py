"""Files of networks: {key.lora_down.weight: tensor, ...}, read, checked and written whole or not at all."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import open_checkpoint, write_bin, write_safetensors
from sd_scripts.library.io.hashes import network_hashes
from sd_scripts.library.io.headers import PICKLED, in_utf8


def read_network(path: str | Path, kind: str = "LoRA", mark: str = "lora_down.weight") -> dict[str, Tensor]:
    """All tensors of a network's file. `mark`: how a tensor of each such file is named. Errors: BadFile."""
    tensors = open_checkpoint(path).read()
    if not any(name.endswith(f".{mark}") for name in tensors):
        raise BadFile(f"{path} is no {kind} file: it has no tensor named ...{mark}. Choose another.")
    return tensors


def write_network(
    path: str | Path, tensors: Mapping[str, Tensor], dtype: torch.dtype | None, metadata: Mapping[str, str]
) -> None:
    """Writes tensors on the CPU in `dtype` (None: each in its own) as the file's ending says. Errors: BadFile."""
    path = Path(path)
    held = {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in tensors.items()}
    if path.suffix.lower() in PICKLED:
        write_bin(path, held)
    else:
        told = in_utf8(metadata)
        write_safetensors(path, held, {**told, **_hashes(held, told)})


def _hashes(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> dict[str, str]:
    """The hashes by which other programs know a network, whatever is written into its header later."""
    lasting = {key: text for key, text in metadata.items() if key.startswith("ss_")}
    found = network_hashes(save(tensors, lasting))
    return {"sshs_model_hash": found.sha256, "sshs_legacy_hash": found.legacy}
