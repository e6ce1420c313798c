"""Reading the parts of a diffusers folder as they lie: configuration and tensors, in their own dtype."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import open_checkpoint
from sd_scripts.library.io.reading import parse_json, read_text

_STEMS = ("diffusion_pytorch_model", "model", "pytorch_model")
_ENDINGS = (".safetensors", ".bin", ".fp16.safetensors", ".fp16.bin")


def read_part(
    folder: Path, device: torch.device, mapped: bool = True, variant: str | None = None
) -> tuple[dict[str, Any], dict[str, Tensor]]:
    """(configuration, tensors on `device`) of one part, such as unet/. Errors: BadFile."""
    config = {key: value for key, value in read_json(folder / "config.json").items() if not _is_of_the_copy(key)}
    tensors: dict[str, Tensor] = {}
    for file in weight_files(folder, variant):
        tensors |= open_checkpoint(file, device, mapped).read()
    return config, tensors


def weight_files(folder: Path, variant: str | None = None) -> list[Path]:
    """The file of a part's weights, or the files when they are in shards.

    `variant`: those of this name alone, such as fp16. Errors: BadFile, when there is none.
    """
    endings = (f".{variant}.safetensors", f".{variant}.bin") if variant else _ENDINGS
    for ending in endings:
        for stem in _STEMS:
            if (file := folder / f"{stem}{ending}").is_file():
                return [file]
            for index in _indexes(folder, stem, ending, variant):
                if index.is_file():
                    return [folder / name for name in sorted(set(read_json(index)["weight_map"].values()))]
    if variant:
        raise BadFile(f"{folder} has no weights of the variant {variant} in it (such as model{endings[0]}).")
    raise BadFile(f"{folder} has no weights in it (such as diffusion_pytorch_model.safetensors or model.safetensors).")


def _indexes(folder: Path, stem: str, ending: str, variant: str | None) -> list[Path]:
    """Where the list of shards may stand: diffusers and transformers put a variant's name in different places."""
    usual = folder / f"{stem}{ending}.index.json"
    return [usual, folder / f"{stem}{Path(ending).suffix}.index.{variant}.json"] if variant else [usual]


def _is_of_the_copy(key: str) -> bool:
    """Whether a configuration's key tells of the copy that was read (place, versions, dtype), not of the model."""
    return key.startswith("_") or key in {"torch_dtype", "dtype", "transformers_version"}


def read_json(file: Path) -> dict[str, Any]:
    """A JSON object. Errors: BadFile."""
    try:
        found = parse_json(read_text(file))
    except FileNotFoundError as error:
        raise BadFile(f"{file} is missing, so {file.parent} is no complete part of a diffusers model.") from error
    except (OSError, ValueError) as error:
        raise BadFile(f"{file} cannot be read as JSON ({error}). Download or copy the model again.") from error
    if not isinstance(found, dict):
        raise BadFile(f"{file} is no JSON object. Download or copy the model again.")
    return found
