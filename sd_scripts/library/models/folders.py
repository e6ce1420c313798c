"""Reading the parts of a diffusers folder as they lie: configuration and tensors, in their own dtype."""

import json
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import open_checkpoint

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_ENDINGS = (".safetensors", ".bin", ".fp16.safetensors", ".fp16.bin")


def read_part(folder: Path, device: torch.device, mapped: bool = True) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(configuration, tensors on `device`) of one part, such as unet/. Errors: BadFile."""
    config = {key: value for key, value in read_json(folder / "config.json").items() if not _is_of_the_copy(key)}
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder):
        tensors |= open_checkpoint(file, device, mapped).read()
    return config, tensors


def weight_files(folder: Path) -> list[Path]:
    """The file of a part's weights, or the files when they are in shards. Errors: BadFile, when there is none."""
    for ending in _ENDINGS:
        for stem in _STEMS:
            if (file := folder / f"{stem}{ending}").is_file():
                return [file]
            if (index := folder / f"{stem}{ending}.index.json").is_file():
                return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    raise BadFile(f"{folder} has no weights in it (such as diffusion_pytorch_model.safetensors or model.safetensors).")


def _is_of_the_copy(key: str) -> bool:
    """Whether a configuration's key tells of the copy that was read (place, versions, dtype), not of the model."""
    return key.startswith("_") or key in {"torch_dtype", "dtype", "transformers_version"}


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Errors: BadFile."""
    try:
        found = json.loads(file.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise BadFile(f"{file} is missing, so {file.parent} is no complete part of a diffusers model.") from error
    except (OSError, ValueError, RecursionError) as error:
        raise BadFile(f"{file} cannot be read as JSON ({error}). Download or copy the model again.") from error
    if not isinstance(found, dict):
        raise BadFile(f"{file} is no JSON object. Download or copy the model again.")
    return found
