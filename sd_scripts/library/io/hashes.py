"""Hashes by which other programs know a model file."""

import hashlib
from pathlib import Path
from typing import NamedTuple

_LEGACY_START, _LEGACY_BYTES = 0x100000, 0x10000


class Hashes(NamedTuple):
    """Of a file: the short hash that AUTOMATIC1111's web UI had first, and its SHA-256."""

    legacy: str
    sha256: str


def sha256_of(path: Path) -> str:
    """The SHA-256 of a file."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def file_hashes(path: Path) -> Hashes:
    """The hashes of a file."""
    with open(path, "rb") as file:
        whole = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(_LEGACY_START)
        legacy = hashlib.sha256(file.read(_LEGACY_BYTES)).hexdigest()[:8]
    return Hashes(legacy, whole)


def network_hashes(data: bytes) -> Hashes:
    """Of a network's .safetensors file: its SHA-256 is that of the tensors alone, without length and header."""
    header_bytes = int.from_bytes(data[:8], "little")
    legacy = hashlib.sha256(data[_LEGACY_START : _LEGACY_START + _LEGACY_BYTES]).hexdigest()[:8]
    return Hashes(legacy, hashlib.sha256(data[8 + header_bytes :]).hexdigest())
