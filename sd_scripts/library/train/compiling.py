"""The model as compiled code (torch.compile). Nothing is renamed, so what is saved is the same as without."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, get_args

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.options.device import Backends, CompileOptions

# As the options spell it: as torch does.
_NAMES = {"tensort": "tensorrt"}


def check_backend(compilation: CompileOptions) -> None:
    """Compiles one addition, before a model is loaded. Errors: BadOption, where the backend is not there or fails."""
    if not compilation.torch_compile:
        return
    name, known = compilation.dynamo_backend, torch._dynamo.list_backends(None)
    if _backend(compilation) not in known:
        there = ", ".join(backend for backend in get_args(Backends) if backend in known)
        sentence = f"this PyTorch has no such compiler. Use one of {there}."
        raise BadOption("dynamo_backend", f"--dynamo_backend {name}: {sentence}")
    try:
        one = torch.ones(2, device="cuda" if torch.cuda.is_available() else "cpu")
        torch.compile(lambda number: number + 1, backend=_backend(compilation))(one)
    except Exception as error:  # whatever a compiler that is not whole stumbles over
        inner = getattr(error, "inner_exception", error)
        reason = (str(inner).strip().splitlines() or [type(inner).__name__])[0].rstrip(".")
        sentence = f"this compiler does not work here ({reason}). Use another, or leave out --torch_compile."
        raise BadOption("dynamo_backend", f"--dynamo_backend {name}: {sentence}") from error


def compile_modules(modules: Iterable[nn.Module], compilation: CompileOptions) -> None:
    """From its next call on, each module runs as compiled code; sizes of pictures and batches are variables in it."""
    for module in modules:
        module.compile(backend=_backend(compilation), dynamic=True)


def uncompiled() -> AbstractContextManager[Any]:
    """Compiled modules run as they were written: for a few pictures, compiling again would take longer."""
    return torch.compiler.set_stance("force_eager")


def _backend(compilation: CompileOptions) -> str:
    return _NAMES.get(compilation.dynamo_backend, compilation.dynamo_backend)
