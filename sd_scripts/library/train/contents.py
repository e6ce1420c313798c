"""Which model a file or folder holds, from a small part of its bytes: quick for files of any size. Needs no torch."""

import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.headers import safetensors_header

DIGITS = 12
# 2 MB of a file, whatever its size: a smaller one is read as a whole. A model that was trained, merged or converted
# differs nearly everywhere, so in some of these pieces; what differs in one small tensor alone may lie between them.
PIECES = 512
PIECE_BYTES = 4096
# A pickled file ends with the list of its parts, with a checksum of each.
_END_BYTES = 1 << 16
_PARTS = ("unet", "text_encoder", "text_encoder_2", "vae")
_ENDINGS = (".safetensors", ".bin")
# One of these is in each model of the hub that was fetched.
_OF_HUB_MODELS = ("model_index.json", "config.json")


def content_of(name_or_path: str) -> str:
    """What names the content of a model file, a diffusers folder or a hub model, wherever it lies, in `DIGITS` digits.

    "" for what is not on this machine or cannot be read.
    """
    path = Path(name_or_path).expanduser()
    try:
        files = _files(path if path.exists() else _of_hub(name_or_path))
        digest = hashlib.sha256("".join(_of_file(file) for file in files).encode())
    except (BadFile, OSError, ValueError):
        return ""
    return digest.hexdigest()[:DIGITS] if files else ""


def _files(path: Path | None) -> list[Path]:
    """The files that hold a model's weights, in the order of its parts."""
    if path is None:
        return []
    if path.is_file():
        return [path]
    parts = [path / part for part in _PARTS if (path / part).is_dir()]
    return [file for part in parts or [path] for file in _weights(part)]


def _weights(folder: Path) -> list[Path]:
    """In the first format that is there; copies such as model.fp16.safetensors only where there is nothing else."""
    for ending in _ENDINGS:
        if found := sorted(folder.glob(f"*{ending}")):
            return [file for file in found if "." not in file.stem] or found
    return []


def _of_hub(name: str) -> Path | None:
    """The folder of a hub model that was fetched before."""
    from huggingface_hub import try_to_load_from_cache

    found = (try_to_load_from_cache(name, file) for file in _OF_HUB_MODELS)
    return next((Path(file).parent for file in found if isinstance(file, str)), None)


def _of_file(path: Path) -> str:
    digest = hashlib.sha256()
    for piece in _pieces(path):
        digest.update(piece)
    return digest.hexdigest()


def _pieces(path: Path) -> Iterator[bytes]:
    """What is looked at: names, types and shapes, never a header's other words, and bytes at even distances."""
    size_bytes, start = path.stat().st_size, 0
    with open(path, "rb") as file:
        if path.suffix.lower() == ".safetensors":
            tensors, _ = safetensors_header(path)
            yield repr(sorted((name, fact.dtype, fact.shape) for name, fact in tensors.items())).encode()
            start = 8 + int.from_bytes(file.read(8), "little")
        else:
            file.seek(max(0, size_bytes - _END_BYTES))
            yield file.read(_END_BYTES)
        length_bytes = size_bytes - start
        yield str(length_bytes).encode()
        apart_bytes = max(PIECE_BYTES, length_bytes // PIECES)
        for place in range(start, size_bytes, apart_bytes):
            file.seek(place, os.SEEK_SET)
            yield file.read(PIECE_BYTES)
