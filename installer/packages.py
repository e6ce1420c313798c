"""Which packages a machine gets, and from where: decisions only, nothing is installed here."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

Extras = frozenset[str]

# PyTorch's own indexes. The registry has CUDA builds for Linux only, and only those.
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
CUDA_INDEXES = {False: "https://download.pytorch.org/whl/cu130", True: "https://download.pytorch.org/whl/cu128"}
"""By whether xformers is wanted: its kernels need an older CUDA."""


@dataclass(frozen=True)
class Pins:
    """What pyproject.toml asks for, and the versions of the constraint files."""

    dependencies: tuple[str, ...]
    extras: dict[str, tuple[str, ...]]
    constraints: str
    xformers_constraints: str

    def requirements(self, extras: Extras) -> list[str]:
        """Package names for these extras, those that everybody gets first."""
        return [*self.dependencies, *(name for extra in sorted(extras) for name in self.extras[extra])]

    def unwanted(self, extras: Extras) -> list[str]:
        """Packages that must not stay beside these extras."""
        return [name for extra in ("cpu", "gpu", "xformers") if extra not in extras for name in self.extras[extra]]

    def constraints_for(self, extras: Extras) -> str:
        """The constraint file's text: xformers brings pins that replace the usual ones."""
        return overlay(self.constraints, self.xformers_constraints) if "xformers" in extras else self.constraints

    def version_of(self, package: str, extras: Extras) -> str:
        """The pinned version of a package."""
        return _pins(self.constraints_for(extras))[package]

    def fingerprint(self, python_version: str) -> str:
        """Changes whenever an environment made from these pins would be another one."""
        made_from = [self.dependencies, self.extras, self.constraints, self.xformers_constraints, python_version]
        return hashlib.sha256(json.dumps(made_from).encode()).hexdigest()


def read_pins(root: Path) -> Pins:
    """Read the project's pins from the files at its root."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return Pins(
        tuple(project["dependencies"]),
        {name: tuple(packages) for name, packages in project["optional-dependencies"].items()},
        (root / "constraints.txt").read_text(encoding="utf-8"),
        (root / "constraints-xformers.txt").read_text(encoding="utf-8"),
    )


def overlay(constraints: str, over: str) -> str:
    """Constraint text in which the pins of `over` win."""
    pins = _pins(constraints) | _pins(over)
    return "".join(f"{name}=={version}\n" for name, version in pins.items())


def _pins(constraints: str) -> dict[str, str]:
    lines = (line.strip() for line in constraints.splitlines())
    pairs = (line.split("==") for line in lines if line and not line.startswith("#"))
    return {re.sub(r"[-_.]+", "-", name).lower(): version for name, version in pairs}


def extras_for(*, has_gpu: bool, xformers: bool = False, test: bool = False) -> Extras:
    """The extras that a machine gets."""
    wanted = {"gpu" if has_gpu else "cpu", "xformers" if xformers else "", "test" if test else ""}
    return frozenset(wanted - {""})


def torch_index(
    *,
    system: str,
    extras: Extras,
    asked: str | None,
    pip_offers_its_own: Callable[[], bool],
    answers: Callable[[str], bool],
) -> str | None:
    """The index that PyTorch is taken from; None leaves it to pip and its configuration.

    `system` is platform.system(). The registry's Linux wheel is a CUDA build of gigabytes, useless without a GPU;
    its Windows wheel is a CPU build, useless with one.
    """
    if asked is not None:
        return asked
    if system == "Windows" and "gpu" in extras:
        return CUDA_INDEXES["xformers" in extras]
    if system == "Linux" and "gpu" not in extras and not pip_offers_its_own() and answers(CPU_INDEX):
        return CPU_INDEX
    return None


def must_replace_torch(installed: str, extras: Extras, asked: str | None) -> bool:
    """Whether a torch of the pinned version has to make room for another build of it, which pip would not do.

    `installed` is its version, "" where there is none.
    """
    return installed != "" and (asked is not None or ("gpu" in extras and installed.endswith("+cpu")))


# The stamp: what a finished installation leaves behind


@dataclass(frozen=True)
class Stamp:
    """Which installation stands in the environment. Written last, so that it is there means that all is."""

    fingerprint: str
    extras: Extras

    def covers(self, fingerprint: str, extras: Iterable[str]) -> bool:
        """Whether nothing needs to be installed for these."""
        return self.fingerprint == fingerprint and self.extras.issuperset(extras)


STAMP_VERSION = 1


def stamp_to_text(stamp: Stamp) -> str:
    return json.dumps(
        {"version": STAMP_VERSION, "fingerprint": stamp.fingerprint, "extras": sorted(stamp.extras)}, indent=2
    )


def stamp_from_text(text: str) -> Stamp | None:
    """None where this is no stamp of ours: then everything is installed again."""
    try:
        read = json.loads(text)
        return Stamp(read["fingerprint"], frozenset(read["extras"])) if read["version"] == STAMP_VERSION else None
    except (ValueError, KeyError, TypeError):
        return None
