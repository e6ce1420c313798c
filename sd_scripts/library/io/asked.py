"""What tools are asked for, checked before anything is loaded. Needs no torch.

`name` is the option as its users know it: --save_to, or output_name where it has no flag.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.atomic import check_writable
from sd_scripts.library.report import counted

WEIGHTS = (".safetensors", ".ckpt", ".pt", ".pth", ".bin")


def input_file(name: str, value: str) -> Path:
    """A file that is there. Errors: BadOption."""
    path = Path(value).expanduser()
    if path.is_dir():
        raise _bad(name, f"{name} {path} is a folder. Name a file.")
    if not path.is_file():
        raise _bad(name, f"{name} {path}: there is no such file.")
    return path


def output_file(name: str, value: str, inputs: Iterable[str | Path] = (), endings: Sequence[str] = WEIGHTS) -> Path:
    """The file to write: one with an ending that is known, in a place that can be written to, and none of those that
    are read. Errors: BadOption, BadFile."""
    path = Path(value).expanduser()
    if path.suffix.lower() not in endings:
        raise _bad(name, f"{name} {value}: its name must end in {', '.join(endings)}.")
    if path.is_dir():
        raise _bad(name, f"{name} {path} is a folder. Name a file.")
    check_unread(name, path, inputs)
    check_writable(path)
    return path


def check_unread(name: str, path: Path, inputs: Iterable[str | Path]) -> None:
    """What is written takes the place of nothing that is read, and does not lie in it. Errors: BadOption."""
    for other in (Path(each).expanduser() for each in inputs):
        if path.resolve() == other.resolve() or (path.exists() and other.exists() and path.samefile(other)):
            raise _bad(name, f"{name} {path} is what is read here. Name another.")
        if other.is_dir() and other.resolve() in path.resolve().parents:
            raise _bad(name, f"{name} {path} lies in {other}, which is read here. Name another place.")


def check_one_place(name: str, output: str | None, in_place: bool) -> None:
    """Either a new place is named, or the old one on purpose. Errors: BadOption."""
    if output and in_place:
        raise _bad(name, f"{name} and --in_place exclude each other. Leave one of them out.")
    if not output and not in_place:
        raise _bad(name, f"Name {name}, a new place to write to, or add --in_place to change what is there.")


def one_for_each(name: str, values: Sequence[float] | None, count: int) -> list[float] | None:
    """A number for each of `count` networks or models; None without any. Errors: BadOption."""
    if values and len(values) != count:
        given = f"{name} has {counted(len(values), 'number')}, and {count} are needed"
        raise _bad(name, f"{given}. Give one for each, or leave it out.")
    return list(values) if values else None


def _bad(name: str, sentence: str) -> BadOption:
    return BadOption(name.removeprefix("--"), sentence)
