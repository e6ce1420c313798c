"""Code that an option names, such as --optimizer_type my_package.MyOptimizer: it is taken from installed packages only.

Installed is what the interpreter finds without the repository's folder, where runs and pictures may lie, and without
the working folder. A file that somebody could put there, by the page or in an archive, is never run for its name.
"""

import contextlib
import importlib
import sys
from collections.abc import Iterator
from importlib.machinery import PathFinder
from pathlib import Path
from types import ModuleType

REPOSITORY = Path(__file__).resolve().parents[2]

INSTALLED_ONLY = "SD_SCRIPTS_INSTALLED_ONLY"
"""Environment variable of runs that the page starts: not even a class of the user's own is taken from a folder."""

USUAL_PACKAGES = frozenset(
    {"torch", "transformers", "diffusers", "bitsandbytes", "pytorch_optimizer", "prodigyopt", "prodigyplus",
     "dadaptation", "lion_pytorch", "schedulefree", "lycoris"}
)  # fmt: skip
"""Packages in which optimizers, schedules and networks are usually found: of these nobody is asked."""


def is_installed(name: str) -> bool:
    """Whether the package of a dotted name is installed. Nothing is imported."""
    package = name.partition(".")[0]
    try:
        return any(_finds(finder, package) for finder in sys.meta_path)
    except (ImportError, ValueError):
        return False


def import_installed(name: str) -> ModuleType:
    """The module of a dotted name. Errors: ImportError, also for one that only lies in a folder."""
    with _only_installed():
        return importlib.import_module(name)


def _finds(finder: object, package: str) -> bool:
    find = getattr(finder, "find_spec", None)
    return find is not None and find(package, _places() if finder is PathFinder else None) is not None


def _places() -> list[str]:
    """Where Python looks for modules, but for the folders of the user."""
    own = {REPOSITORY, Path.cwd()}
    return [place for place in sys.path if place and Path(place).resolve() not in own]


@contextlib.contextmanager
def _only_installed() -> Iterator[None]:
    kept = sys.path[:]
    sys.path[:] = _places()
    try:
        yield
    finally:
        # What a package itself has added stays.
        sys.path[:] = kept + [place for place in sys.path if place not in kept]
