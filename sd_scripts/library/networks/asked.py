"""What the tools for networks are asked for, checked before anything is loaded. Needs no torch."""

from collections.abc import Sequence
from pathlib import Path

from sd_scripts.library.errors import BadOption

ENDINGS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def input_file(option: str, value: str) -> str:
    """A network's file that is there. Errors: BadOption."""
    path = Path(value)
    if not path.is_file():
        raise BadOption(option, f"--{option} {path}: there is no such file. Name a .safetensors file of a network.")
    return str(path)


def input_files(option: str, values: Sequence[str]) -> list[str]:
    """Networks' files that are there. Errors: BadOption."""
    return [input_file(option, value) for value in values]


def output_file(option: str, value: str, inputs: Sequence[str]) -> Path:
    """The file to write: one with an ending that is known, and none of those that are read. Errors: BadOption."""
    path = Path(value)
    if path.suffix.lower() not in ENDINGS:
        raise BadOption(option, f"--{option} {path}: its name must end in .safetensors, or in .ckpt or .pt.")
    for other in map(Path, inputs):
        if path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other)):
            raise BadOption(option, f"--{option} {path} is what is read here, and that is never changed. Name another.")
        if other.is_dir() and path.resolve().is_relative_to(other.resolve()):
            raise BadOption(option, f"--{option} {path} lies in a model that is read here. Name another place.")
    return path


def strengths(option: str, values: Sequence[float] | None, count: int) -> list[float]:
    """A strength for each of `count` networks; without any, 1. Errors: BadOption."""
    if not values:
        return [1.0] * count
    if len(values) != count:
        raise BadOption(option, f"--{option} has {len(values)} numbers for {count} networks. Give one for each.")
    return list(values)
