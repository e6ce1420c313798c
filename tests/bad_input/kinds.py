"""What a broken thing is."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Broken:
    """One broken thing: what it is called, and what makes it at a path.

    `usable` tells that a program may take it all the same.
    """

    name: str
    make: Callable[[Path], object]
    usable: bool = False


def of_bytes(name: str, data: bytes, usable: bool = False) -> Broken:
    """A file that holds this."""
    return Broken(name, lambda path: path.write_bytes(data), usable)


def made(name: str, make: Callable[[], bytes], usable: bool = False) -> Broken:
    """A file whose content is made only when it is needed."""
    return Broken(name, lambda path: path.write_bytes(make()), usable)
