"""What is to be saved: as it lies in a model that is trained, or, where that goes on meanwhile, a copy of it."""

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor


class Saved(NamedTuple):
    """A file or folder that was written whole, and the SHA-256 of a file, where its writer knows it."""

    path: Path
    sha256: str | None = None


class Kept(Protocol):
    """Something that may be copied."""

    @property
    def size_bytes(self) -> int:
        """What a copy takes."""

    def keep(self) -> None:
        """From now on it is a copy in RAM, which nothing changes."""


@dataclass
class Held:
    """Tensors, and the number formats of those that are not written in their own."""

    tensors: dict[str, Tensor]
    dtypes: dict[str, torch.dtype] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """What a copy takes."""
        return sum(t.numel() * self.dtypes.get(name, t.dtype).itemsize for name, t in self.tensors.items())

    def keep(self) -> None:
        """From now on it is a copy in RAM, in the number formats of the file."""
        self.tensors = self._on_cpu(own=True)

    def converted(self) -> dict[str, Tensor]:
        """The tensors on the CPU, in the number formats of the file."""
        return self._on_cpu(own=False)

    def _on_cpu(self, own: bool) -> dict[str, Tensor]:
        given = self.tensors.items()
        return {name: tensor.detach().to("cpu", self.dtypes.get(name), copy=own) for name, tensor in given}

    def __or__(self, other: "Held") -> "Held":
        return Held(self.tensors | other.tensors, self.dtypes | other.dtypes)


@dataclass
class HeldValue:
    """Dicts and lists with tensors in them, such as the memory of an optimizer."""

    value: Any

    @property
    def size_bytes(self) -> int:
        """What a copy takes."""
        return sum(tensor.nbytes for tensor in tensors_in(self.value))

    def keep(self) -> None:
        """From now on it is a copy in RAM."""
        copies = {id(tensor): tensor.detach().to("cpu", copy=True) for tensor in tensors_in(self.value)}
        self.value = copy.deepcopy(self.value, copies)


def tensors_in(value: Any) -> Iterator[Tensor]:
    """The tensors among values, in their order."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping | list | tuple):
        for one in value.values() if isinstance(value, Mapping) else value:
            yield from tensors_in(one)


@dataclass(frozen=True)
class Draft:
    """Something to save. `write` takes its path without ending, and may be called again where it failed."""

    parts: Sequence[Kept]
    write: Callable[[Path], Saved]

    @property
    def size_bytes(self) -> int:
        """What a copy takes."""
        return sum(part.size_bytes for part in self.parts)

    def keep(self) -> None:
        """From now on it stays what it is now, whatever is trained meanwhile."""
        for part in self.parts:
            part.keep()
