"""Modules of packages underneath whose code runs when something of it is used, not when it is named.

diffusers reads in every U-Net and transformer that it has to give one of them, and others do the like: seconds at every
start. Such a module is put in place empty, so that the modules below it can be imported. What it holds is there as soon
as it is asked for: nothing works differently, only later.

Who asks while another thread runs the module waits for that, as an import would: by the import system's own lock of the
module, which knows when two threads would wait for each other. The threads then go on with what is there so far.
"""

import sys
import threading
from collections.abc import Callable, Sequence
from importlib import _bootstrap
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, cast

_imports = cast(Any, _bootstrap)

_ANSWERED = ("__version__", "__all__")
"""The import system looks for other names of this form in every module, and must not find them by running it."""


def defer_unused() -> None:
    """From now on these modules, where they are not read in yet, wait until they are used. Called once a process."""
    if not any(isinstance(finder, _Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _Finder())


class Deferred(ModuleType):
    """A module whose code has not run yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _ANSWERED:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        if name in CALLED.get(self.__name__, ()) and waits(self):
            return _called_later(self, name)
        run(self)
        # Some modules put another object in their place.
        now = sys.modules[self.__name__]
        if now is not self:
            return getattr(now, name)
        if name not in vars(self):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return vars(self)[name]


DEFERRED = {
    "bitsandbytes",
    "diffusers.hooks",
    "diffusers.models.autoencoders",
    "diffusers.models.transformers",
    "diffusers.models.unets",
    "peft",
    "peft.tuners",
    "scipy.integrate",
    "scipy.optimize",
    "scipy.stats",
    "torch.distributed.checkpoint",
    "transformers.models",
}
"""Of none of them do other modules take names while they are read in: that would run it at once."""

CALLED = {"scipy.optimize": {"linear_sum_assignment"}}
"""Functions that other modules do take while they are read in, and that nothing but calls: transformers' losses of
detectors, which come with each of its models, take this one."""

_OPEN = {
    "diffusers.hooks",
    "diffusers.models.autoencoders",
    "diffusers.models.transformers",
    "diffusers.models.unets",
    "transformers.models",
}
"""Packages of which single modules are used while the package itself waits. The others run before their modules."""


def run(module: ModuleType, wait: bool = True) -> None:
    """Runs a deferred module's code, where it waits, after that of the packages that it lies in.

    `wait`: for another thread that runs it at the moment. The code is not run twice, nor by its own thread once more.
    """
    _run_above(module.__name__, wait)
    if waits(module):
        _loader(module).run(module, wait)


def _called_later(module: ModuleType, name: str) -> Callable[..., Any]:
    """A function that calls the module's own of this name, for which the module's code runs first."""

    def call(*args: Any, **kwargs: Any) -> Any:
        run(module)
        return vars(module)[name](*args, **kwargs)

    return call


def _run_above(name: str, wait: bool) -> None:
    if _follows(name):
        run(sys.modules[name.rpartition(".")[0]], wait)


def _follows(name: str) -> bool:
    """Whether a module runs only after the package that it lies in."""
    package = name.rpartition(".")[0]
    return isinstance(sys.modules.get(package), Deferred) and package not in _OPEN


def waits(module: ModuleType) -> bool:
    """Whether a module's code is still to run."""
    loader = getattr(module.__spec__, "loader", None)
    return isinstance(loader, _Loader) and loader.waits


def _loader(module: ModuleType) -> "_Loader":
    return cast(_Loader, cast(ModuleSpec, module.__spec__).loader)


class _Loader:
    def __init__(self, own: Any) -> None:
        self._own = own
        self._turn = threading.RLock()
        self._running = False
        self.waits = False

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        self.waits = True

    def run(self, module: ModuleType, wait: bool) -> None:
        # Only who does not wait takes the turn: all waiting is for the import lock, which the thread whose turn it is
        # takes at once.
        while not self._turn.acquire(blocking=False):
            if not (wait and _is_waited_for(module)):
                return
        try:
            if self.waits and not self._running:
                self._run_now(module)
        finally:
            self._turn.release()

    def _run_now(self, module: ModuleType) -> None:
        """Runs it. After a failure, as after a failed import, the next who asks hears the reason too."""
        self._running = True
        try:
            with _imports._ModuleLockManager(module.__name__):
                self._own.exec_module(module)
            self.waits = False
        finally:
            self._running = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


def _is_waited_for(module: ModuleType) -> bool:
    """Waits for the thread that runs a module; False where that one waits for this, directly or by way of others."""
    try:
        with _imports._ModuleLockManager(module.__name__):
            return True
    except _imports._DeadlockError:
        return False


class _After:
    """For a module of a package that waits: the package runs before it, and may have read it in by then.

    Not while the module is looked for: then no other thread could import anything.
    """

    def __init__(self, own: Any) -> None:
        self._own = own

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        # Another thread that runs the package may need this very module, whose import lock is taken here.
        _run_above(spec.name, wait=False)
        there = sys.modules.get(spec.name)
        spec.loader = cast(Any, _There(there)) if there else self._own
        return spec.loader.create_module(spec) if spec.loader else None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._own, name)


class _There:
    """For a module that was read in by the package that had to run before it."""

    def __init__(self, module: ModuleType) -> None:
        self._module = module
        self._spec = module.__spec__

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._module

    def exec_module(self, module: ModuleType) -> None:
        # The import system has given it the new one, by which it would be read in once more.
        module.__spec__ = self._spec


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        # Whoever asks for one that is there already wants to know whether it could be found.
        loader = _Loader if name in DEFERRED else _After if _follows(name) and name not in sys.modules else None
        spec = PathFinder.find_spec(name, path, target) if loader else None
        if spec is not None and loader:
            spec.loader = cast(Any, loader(spec.loader))
        return spec
