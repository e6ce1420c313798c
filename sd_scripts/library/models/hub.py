"""From what a user typed to a file or folder: a path as it is, or a hub id fetched into the hub's own cache."""

import re
from pathlib import Path

from sd_scripts.library.errors import BadFile

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = {".safetensors", ".ckpt", ".pt", ".pth", ".bin"}
_CONFIGS = ["*.json", "*.txt"]
_WEIGHTS = [("*.safetensors", "*.safetensors.index.json"), ("*.bin", "*.bin.index.json")]
_PARTS = ["unet", "vae", "text_encoder", "tokenizer", "scheduler"]
# Other copies of the same weights, and weights of earlier steps: none of them is read.
_LEFT_OUT = ["*.fp16.*", "*.non_ema.*", "*.onnx*", "*.msgpack"]


def model_path(name_or_path: str, only: str | None = None) -> Path:
    """The file or folder that a name means; `only` fetches one part of a hub model, such as vae.

    Errors: BadFile, when it is neither there nor on the hub, or the hub cannot be reached.
    """
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    if path.suffix.lower() in _FILES or not _HUB_ID.fullmatch(name_or_path):
        raise BadFile(
            f"{name_or_path}: there is no such file or folder. Name a model file, a diffusers folder or a hub id."
        )
    return _fetched(name_or_path, [only] if only else _PARTS)


def _fetched(hub_id: str, parts: list[str]) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    folder = Path()
    try:
        for weights in _WEIGHTS:
            wanted = ["model_index.json", *(f"{part}/{p}" for part in parts for p in (*_CONFIGS, *weights))]
            folder = Path(snapshot_download(hub_id, allow_patterns=wanted, ignore_patterns=_LEFT_OUT))
            if any(folder.glob(f"*/{weights[0]}")):
                return folder
    except GatedRepoError as error:
        raise BadFile(
            f"{hub_id} needs permission: accept its terms on the hub, then log in with `hf auth login`."
        ) from error
    except RepositoryNotFoundError as error:
        raise BadFile(f"{hub_id}: there is no such file or folder here, and no such model on the hub.") from error
    except Exception as error:  # The hub's client fails in many ways when there is no network.
        raise BadFile(
            f"{hub_id} is no file or folder here, and the hub cannot be reached ({type(error).__name__}). "
            "Name a local model, or connect to the network."
        ) from error
    raise BadFile(f"{hub_id} on the hub holds no diffusers model. Name a diffusers model, or download its file.")
