"""Modules of packages underneath whose code runs when something of it is used, not when it is named.

diffusers reads in every U-Net and transformer that it has to give one of them, torch its compiler to step an
optimizer, and others do the like: seconds at every start. Such a module is put in place empty, so that the modules
below it can be imported. What it holds is there as soon as it is asked for: nothing works differently, only later.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any, cast

_ANSWERED = ("__version__", "__all__")
"""The import system looks for other names of this form in every module, and must not find them by running it."""


def defer_unused() -> None:
    """From now on these modules, where they are not read in yet, wait until they are used. Called once a process."""
    sys.meta_path.insert(0, _Finder())


class Deferred(ModuleType):
    """A module whose code has not run yet."""

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") and name not in _ANSWERED:
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        run(self)
        # Some modules put another object in their place.
        now = sys.modules[self.__name__]
        if now is not self:
            return getattr(now, name)
        if name not in vars(self):
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        return vars(self)[name]


StandIn = Callable[[ModuleType, str], Any]
"""What stands in a deferred module under a name that other modules take out of it while they are read in."""


class Promised:
    """Stands for a function or class: when it is called or looked into, its module runs."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module, self._name = module, name

    def _real(self) -> Any:
        run(self._module)
        return getattr(sys.modules[self._module.__name__], self._name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._real()(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._real(), name)

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real(),)

    def __instancecheck__(self, instance: Any) -> bool:
        # Before its module has run there can be none.
        return not waits(self._module) and isinstance(instance, self._real())


def compiler_disable(module: ModuleType, _name: str) -> Any:
    """torch._dynamo.disable: nothing is compiled before it runs, so functions are as they are until then."""

    def disable(function: Any = None, *args: Any, **kwargs: Any) -> Any:
        if function is None:
            return lambda decorated: disable(decorated, *args, **kwargs)
        disabled: list[Any] = []

        def either(*own: Any, **more: Any) -> Any:
            if waits(module):
                return function(*own, **more)
            if not disabled:
                disabled.append(cast(Any, module).disable(function, *args, **kwargs))
            return disabled[0](*own, **more)

        return either

    return disable


def compiler_mark(module: ModuleType, name: str) -> Any:
    """A decorator of torch._dynamo that marks for the compiler, which is told of all marked ones when it runs."""

    def mark(marked: Any) -> Any:
        if not waits(module):
            return getattr(module, name)(marked)
        _loader(module).then.append(lambda: getattr(module, name)(marked))
        return marked

    return mark


def compiler_nothing(module: ModuleType, name: str) -> Any:
    """A function of torch._dynamo that does something only within what is compiled."""

    def nothing(*args: Any, **kwargs: Any) -> Any:
        return None if waits(module) else getattr(module, name)(*args, **kwargs)

    return nothing


def _promised(*names: str) -> dict[str, StandIn]:
    return dict.fromkeys(names, Promised)


DEFERRED: Mapping[str, Mapping[str, StandIn]] = {
    "bitsandbytes": {},
    "diffusers.hooks": {},
    "diffusers.models.autoencoders": {},
    "diffusers.models.transformers": {},
    "diffusers.models.unets": {},
    "diffusers.quantizers.bitsandbytes.utils": _promised(
        "dequantize_and_replace", "dequantize_bnb_weight", "replace_with_bnb_linear", "_check_bnb_status"
    ),
    "peft": {},
    "peft.tuners": {},
    "peft.tuners.tuners_utils": _promised("BaseTunerLayer"),
    "scipy.integrate": {},
    "scipy.optimize": _promised("linear_sum_assignment"),
    "scipy.stats": {},
    "torch._dynamo": {
        "disable": compiler_disable,
        "allow_in_graph": compiler_mark,
        "assume_constant_result": compiler_mark,
        "graph_break": compiler_nothing,
    },
    "torch._dynamo._trace_wrapped_higher_order_op": _promised("TransformGetItemToIndex"),
    "torch.distributed._composable.fsdp": _promised("fully_shard"),
    "torch.distributed.checkpoint": {},
    "torch.distributed.checkpoint.hf_storage": _promised("HuggingFaceStorageReader", "HuggingFaceStorageWriter"),
    "torch.distributed.fsdp": _promised("CPUOffloadPolicy", "MixedPrecisionPolicy"),
    "torch.distributed.tensor": _promised("DTensor", "Partial", "Replicate", "Shard", "distribute_tensor"),
    "torch.distributed.tensor._utils": _promised("compute_local_shape_and_global_offset"),
    "torch.distributed.tensor.placement_types": _promised("Partial", "Replicate", "Shard", "_StridedShard"),
    "transformers.distributed.expert_parallel": _promised("apply_expert_parallelism"),
    "transformers.distributed.tensor_parallel": _promised(
        "apply_tensor_parallelism", "gather_state_dict_for_save", "verify_tp_plan"
    ),
    "transformers.models": {},
    "transformers.models.auto": _promised("AutoConfig", "AutoModel"),
}


_OPEN = {
    "diffusers.hooks",
    "diffusers.models.autoencoders",
    "diffusers.models.transformers",
    "diffusers.models.unets",
    "transformers.models",
}
"""Packages of which single modules are used while the package itself waits. The others run before their modules."""


def run(module: ModuleType) -> None:
    """Runs a deferred module's code, where it waits, after that of the packages that it lies in."""
    _run_above(module.__name__)
    if waits(module):
        _loader(module).run(module)


def _run_above(name: str) -> None:
    package = name.rpartition(".")[0]
    above = sys.modules.get(package)
    if isinstance(above, Deferred) and package not in _OPEN:
        run(above)


def waits(module: ModuleType) -> bool:
    """Whether a module's code is still to run."""
    loader = getattr(module.__spec__, "loader", None)
    return isinstance(loader, _Loader) and loader.waits


def _loader(module: ModuleType) -> "_Loader":
    return cast(_Loader, cast(ModuleSpec, module.__spec__).loader)


class _Loader:
    def __init__(self, own: Any, stand_ins: Mapping[str, StandIn]) -> None:
        self._own = own
        self._stand_ins = stand_ins
        self.waits = False
        self.then: list[Callable[[], Any]] = []

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return Deferred(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        self.waits = True
        vars(module).update({name: made(module, name) for name, made in self._stand_ins.items()})

    def run(self, module: ModuleType) -> None:
        self.waits = False
        for name in self._stand_ins:
            vars(module).pop(name, None)
        try:
            self._own.exec_module(module)
        except BaseException:
            # As after a failed import, the next who asks hears the reason too.
            self.waits = True
            raise
        for then in self.then:
            then()

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
        module.__spec__ = self._spec


def _spec_of(module: ModuleType) -> ModuleSpec:
    # The import system takes the module's own, by which it would be read in once more.
    module.__spec__ = ModuleSpec(module.__name__, cast(Any, _There(module)))
    return module.__spec__


class _Finder:
    def find_spec(self, name: str, path: Sequence[str] | None = None, target: Any = None) -> ModuleSpec | None:
        if name not in DEFERRED:
            _run_above(name)
            return _spec_of(sys.modules[name]) if name in sys.modules else None
        spec = PathFinder.find_spec(name, path, target)
        if spec is not None:
            spec.loader = cast(Any, _Loader(spec.loader, DEFERRED[name]))
        return spec
