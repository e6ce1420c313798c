"""From what a user typed to a file or folder: a path as it is, or a hub id fetched into the hub's own cache."""

import re
from fnmatch import fnmatch
from pathlib import Path

from sd_scripts.library.errors import BadFile

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")
_FILES = {".safetensors", ".ckpt", ".pt", ".pth", ".bin"}
_WITH_WEIGHTS = ("unet", "vae", "text_encoder")
# What only some models have.
_PERHAPS = ("text_encoder_2",)
_WITHOUT = ("tokenizer", "tokenizer_2", "scheduler")
# The same weights in other forms: the first that a model has is fetched.
_ENDINGS = (".safetensors", ".bin")
# Copies in half precision or averaged otherwise, and other frameworks' files.
_LEFT_OUT = ["*.fp16.*", "*.non_ema.*", "*.onnx*", "*.msgpack"]


def model_path(name_or_path: str, only: str | None = None, variant: str | None = None) -> Path:
    """The file or folder that a name means; `only` fetches one part of a hub model, such as vae.

    `variant`: of a hub model's weights, those of this name, such as fp16.

    Errors: BadFile, when it is neither there nor on the hub, or the hub cannot be reached.
    """
    check_name(name_or_path)
    path = Path(name_or_path).expanduser()
    if path.exists():
        return path
    return _fetched(name_or_path, (only,) if only else _WITH_WEIGHTS, variant)


def check_name(name_or_path: str) -> None:
    """Raises BadFile for a name that is neither there nor could be a hub id; asks no hub, and needs no torch."""
    path = Path(name_or_path).expanduser()
    if name_or_path and path.exists():
        return
    shown = name_or_path or '""'
    if path.suffix.lower() in _FILES or not _HUB_ID.fullmatch(name_or_path):
        raise BadFile(f"{shown}: there is no such file or folder. Name a model file, a diffusers folder or a hub id.")


def _fetched(hub_id: str, parts: tuple[str, ...], variant: str | None) -> Path:
    from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError

    try:
        for ending in _ENDINGS:
            folder = _snapshot(hub_id, parts, f".{variant}{ending}" if variant else ending)
            if all(_has_weights(folder / part) for part in parts) or _has_weights(folder):
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


def _snapshot(hub_id: str, parts: tuple[str, ...], ending: str) -> Path:
    """The folder with these parts of a hub model, or with the part that the whole of it is, such as a VAE by itself."""
    from huggingface_hub import snapshot_download

    wanted = parts if len(parts) == 1 else (*parts, *_PERHAPS)
    patterns = ["model_index.json", *(f"{part}/*.json" for part in (*wanted, *_WITHOUT)), "tokenizer*/*.txt"]
    patterns += [f"{part}/*{ending}" for part in wanted]
    if len(parts) == 1:
        patterns += ["config.json", f"diffusion_pytorch_model{ending}"]
    unwanted = [pattern for pattern in _LEFT_OUT if not fnmatch(f"model{ending}", pattern)]
    return Path(snapshot_download(hub_id, allow_patterns=patterns, ignore_patterns=unwanted))


def _has_weights(folder: Path) -> bool:
    return any(file.suffix in _ENDINGS for file in folder.glob("*"))
