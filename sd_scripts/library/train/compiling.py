"""The model as compiled code (torch.compile). Nothing is renamed, so what is saved is the same as without."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any, get_args

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.report import Report, counted
from sd_scripts.options.device import CUDA_GRAPHS, Backends, CompileOptions

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


def check_graphs(compilation: CompileOptions) -> None:
    """CUDA graphs need CUDA. Errors: BadOption."""
    if compilation.compile_mode in CUDA_GRAPHS and not torch.cuda.is_available():
        sentence = "records CUDA graphs, which need an NVIDIA GPU. Use default"
        raise BadOption("compile_mode", f"--compile_mode {compilation.compile_mode} {sentence}.")


class Compiled:
    """Modules that run as compiled code from their next call on, and how often that was made."""

    def __init__(self, modules: Iterable[nn.Module], compilation: CompileOptions) -> None:
        self._records = compilation.compile_mode in CUDA_GRAPHS
        self._before = _graphs()
        if compilation.compile_cache_size_limit is not None:
            torch._dynamo.config.recompile_limit = compilation.compile_cache_size_limit
        for module in modules:
            module.compile(**_arguments(compilation))

    @property
    def graphs(self) -> int:
        """How many codes were made so far."""
        return _graphs() - self._before

    def begin_pass(self) -> None:
        """Before each forward pass: what the last one gave is used up, and a recorded one may write over it."""
        if self._records:
            torch.compiler.cudagraph_mark_step_begin()

    def tell(self, report: Report) -> None:
        """How often code was made, and whether that was too often for some sizes."""
        report.say(f"Compiled: {counted(self.graphs, 'code')}.")
        limit = torch._dynamo.config.recompile_limit
        if torch._dynamo.utils.counters["recompile_limit"]:
            text = f"Some sizes ran uncompiled: there are more than {limit}. Raise --compile_cache_size_limit"
            report.notice(f"{text}, or use --compile_dynamic true.", "warning")


def _arguments(compilation: CompileOptions) -> dict[str, Any]:
    dynamic = {"true": True, "false": False, "auto": None}[compilation.compile_dynamic]
    arguments: dict[str, Any] = {"backend": _backend(compilation), "dynamic": dynamic}
    # Only inductor knows modes, and the default one needs no word.
    mode = compilation.compile_mode
    return arguments if mode == "default" else arguments | {"mode": mode}


def _graphs() -> int:
    return int(torch._dynamo.utils.counters["stats"]["unique_graphs"])


def uncompiled() -> AbstractContextManager[Any]:
    """Compiled modules run as they were written: for a few pictures, compiling again would take longer."""
    return torch.compiler.set_stance("force_eager")


def _backend(compilation: CompileOptions) -> str:
    return _NAMES.get(compilation.dynamo_backend, compilation.dynamo_backend)
