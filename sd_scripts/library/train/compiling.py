"""The model as compiled code (torch.compile). Nothing is renamed, so what is saved is the same as without."""

import logging
import warnings
from collections.abc import Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any, get_args

import torch
from torch import nn

from sd_scripts.library.errors import BadOption, TrainingFailed
from sd_scripts.library.report import Report, counted
from sd_scripts.options.device import CUDA_GRAPHS, Backends, CompileOptions

# As the options spell it: as torch does.
_NAMES = {"tensort": "tensorrt"}
# Where the compiler fails, which is told in a sentence, these would print how, in hundreds of lines.
_WORDY = (
    "torch._functorch._aot_autograd.graph_compile",
    "torch.fx.experimental.symbolic_shapes",
    "torch.utils._sympy.interp",
)


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
        sentence = f"this compiler does not work here ({_reason(error)}). Use another, or leave out --torch_compile."
        raise BadOption("dynamo_backend", f"--dynamo_backend {name}: {sentence}") from error


def check_graphs(compilation: CompileOptions) -> None:
    """CUDA graphs need CUDA. Errors: BadOption."""
    if compilation.compile_mode in CUDA_GRAPHS and not torch.cuda.is_available():
        sentence = "records CUDA graphs, which need an NVIDIA GPU. Use default"
        raise BadOption("compile_mode", f"--compile_mode {compilation.compile_mode} {sentence}.")


class Compiled:
    """Modules of a training, which run as compiled code where that is asked for."""

    def __init__(self, modules: Sequence[nn.Module], compilation: CompileOptions, report: Report) -> None:
        self._modules, self._compilation, self._report = modules, compilation, report
        if compilation.torch_compile:
            report.say("The first steps compile the model, which may take minutes.")
            compile_modules(modules, compilation)

    def helps(self, error: Exception) -> bool:
        """Whether a step can be done again as its code could not be made: another way of making it is left.

        PyTorch's compiler fails at some models where one code is to serve all sizes. Errors: TrainingFailed, where it
        fails at one for each size as well.
        """
        if not self._compilation.torch_compile or not isinstance(error, torch._dynamo.exc.TorchDynamoException):
            return False
        reason = _reason(error)
        if self._compilation.compile_dynamic == "false":
            advice = "Leave out --torch_compile, or use another --dynamo_backend."
            raise TrainingFailed(f"PyTorch's compiler fails ({reason}). {advice}") from error
        instead = "One for each size is made instead, as --compile_dynamic false does."
        self._report.notice(f"PyTorch's compiler fails at one code for all sizes ({reason}). {instead}", "warning")
        self._compilation = replace(self._compilation, compile_dynamic="false")
        torch._dynamo.reset()
        compile_modules(self._modules, self._compilation)
        return True


def compile_modules(modules: Iterable[nn.Module], compilation: CompileOptions) -> None:
    """From its next call on, each module runs as compiled code."""
    if compilation.compile_cache_size_limit is not None:
        torch._dynamo.config.recompile_limit = compilation.compile_cache_size_limit
    if not torch.cuda.is_available():
        # Where it changes layouts, the compiler for CPUs forgets in torch 2.13 that zeros are added to before they are
        # read (pytorch/pytorch#185509): no gradient passed through what enlarges 2 x 2 places.
        torch._inductor.config.layout_optimization = False
    for name in _WORDY:
        logging.getLogger(name).setLevel(logging.ERROR)
    # What transformers and torch themselves keep from call to call, which the compiler rightly looks through.
    warnings.filterwarnings("ignore", message="Dynamo detected a call to a `functools.lru_cache`")
    # What was compiled to see that it can be does not count.
    torch._dynamo.utils.counters.clear()
    for module in modules:
        module.compile(**_arguments(compilation))


def begin_pass(compilation: CompileOptions) -> None:
    """Before a forward pass: what the last one gave is used up, and one that is recorded may write over it."""
    if compilation.torch_compile and compilation.compile_mode in CUDA_GRAPHS:
        torch.compiler.cudagraph_mark_step_begin()


def tell_compiled(compilation: CompileOptions, report: Report) -> None:
    """How often code was made, and whether some sizes had to do without."""
    if not compilation.torch_compile:
        return
    made, asked = compiled_and_asked()
    report.say(f"Compiled {counted(made, 'time')}, for the sizes of pictures and batches.")
    if made < asked and made >= torch._dynamo.config.recompile_limit:
        other = "Raise --compile_cache_size_limit, or use --compile_dynamic true."
        report.notice(f"Some sizes ran uncompiled: one code is made at most {made} times. {other}", "warning")


def compiled_and_asked() -> tuple[int, int]:
    """How often code was made since modules are compiled, and how often it was asked for."""
    frames = torch._dynamo.utils.counters["frames"]
    return frames["ok"], frames["total"]


def _arguments(compilation: CompileOptions) -> dict[str, Any]:
    dynamic = {"true": True, "false": False, "auto": None}[compilation.compile_dynamic]
    arguments: dict[str, Any] = {"backend": _backend(compilation), "dynamic": dynamic}
    # Only inductor knows modes, and the default one needs no word.
    mode = compilation.compile_mode
    return arguments if mode == "default" else arguments | {"mode": mode}


def uncompiled() -> AbstractContextManager[Any]:
    """Compiled modules run as they were written: for a few pictures, compiling again would take longer."""
    return torch.compiler.set_stance("force_eager")


def _reason(error: Exception) -> str:
    """The first line of what a compiler stumbled over."""
    inner = getattr(error, "inner_exception", error)
    return (str(inner).strip().splitlines() or [type(inner).__name__])[0].rstrip(".")


def _backend(compilation: CompileOptions) -> str:
    return _NAMES.get(compilation.dynamo_backend, compilation.dynamo_backend)
