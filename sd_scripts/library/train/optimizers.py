"""Optimizers by name: a few known ones, and any class of any installed package. Imports torch late."""

import ast
import difflib
import importlib
import inspect
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from sd_scripts.library.errors import BadOption, NotInstalled

if TYPE_CHECKING:
    import torch

Groups = list[dict[str, Any]]


class OptimizerSettings(Protocol):
    """The options of an optimizer (options.optimizer.OptimizerOptions)."""

    learning_rate: float
    optimizer_type: str
    use_8bit_adam: bool
    use_lion_optimizer: bool
    optimizer_args: list[str] | None


@dataclass(frozen=True)
class Known:
    """An optimizer of the list: its class, its package, and arguments that differ from the class's own defaults."""

    module: str
    class_name: str
    package: str = "torch"
    arguments: dict[str, Any] = field(default_factory=dict)


KNOWN: dict[str, Known] = {
    # All of it in one kernel.
    "AdamW": Known("torch.optim", "AdamW", arguments={"fused": True}),
    "AdamW8bit": Known("bitsandbytes.optim", "AdamW8bit", "bitsandbytes"),
    "Lion": Known("lion_pytorch", "Lion", "lion-pytorch"),
    "AdaFactor": Known("transformers.optimization", "Adafactor", "transformers", {"relative_step": True}),
    # As the field knows it: SGD is Nesterov's, with his customary momentum.
    "SGD": Known("torch.optim", "SGD", arguments={"momentum": 0.9, "nesterov": True}),
    "SGDNesterov": Known("torch.optim", "SGD", arguments={"momentum": 0.9, "nesterov": True}),
}


def make_optimizer(groups: Groups, settings: OptimizerSettings) -> "torch.optim.Optimizer":
    """The optimizer that the options ask for, over `groups` (params, lr, name).

    Errors: BadOption, NotInstalled.
    """
    name = optimizer_name(settings)
    arguments = read_arguments(settings.optimizer_args or [])
    known = KNOWN.get(name)
    builder = _load(known.module, known.class_name, known.package) if known else _any_class(name)
    arguments = {**(known.arguments if known else {}), **arguments}
    _check_arguments(builder, arguments, name)
    if name == "AdaFactor":
        groups, arguments = _for_adafactor(groups, arguments)
    try:
        optimizer: torch.optim.Optimizer = builder(groups, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        reason = str(error).rstrip(".")
        raise BadOption("optimizer_args", f"{name} does not take these arguments: {reason}.") from error
    return optimizer


def check_optimizer(settings: OptimizerSettings) -> None:
    """Makes the optimizer over one number, before anything is loaded. Errors: BadOption, NotInstalled."""
    import torch

    one = torch.nn.Parameter(torch.zeros(1))
    make_optimizer([{"params": [one], "lr": settings.learning_rate, "name": "one"}], settings)


def optimizer_name(settings: OptimizerSettings) -> str:
    """The name that the options come to, as KNOWN writes it, or `module.Class`. Errors: BadOption."""
    asked = settings.optimizer_type or "AdamW"
    for short, meaning in (("use_8bit_adam", "AdamW8bit"), ("use_lion_optimizer", "Lion")):
        if getattr(settings, short):
            if settings.optimizer_type and settings.optimizer_type.lower() != meaning.lower():
                raise BadOption(short, f"--{short} means {meaning}, but --optimizer_type says {asked}. Leave one out.")
            asked = meaning
    if settings.use_8bit_adam and settings.use_lion_optimizer:
        raise BadOption("use_lion_optimizer", "--use_8bit_adam and --use_lion_optimizer name two optimizers. Use one.")
    if "." in asked:
        return asked
    by_lower = {name.lower(): name for name in KNOWN}
    if asked.lower() not in by_lower:
        close = difflib.get_close_matches(asked.lower(), by_lower, n=3, cutoff=0.5)
        near = f"Did you mean {' or '.join(by_lower[c] for c in close)}?" if close else f"Use {', '.join(KNOWN)},"
        rest = "" if close else " or the name of a class with its module, such as torch.optim.RAdam."
        raise BadOption("optimizer_type", f'--optimizer_type "{asked}": there is no such optimizer. {near}{rest}')
    return by_lower[asked.lower()]


def read_arguments(words: list[str]) -> dict[str, Any]:
    """{name: value} of words such as weight_decay=0.01 and betas=0.9,0.999. Errors: BadOption."""
    return dict(_read_argument(word) for word in words)


def _read_argument(word: str) -> tuple[str, Any]:
    name, equals, text = word.partition("=")
    if not equals or not name.strip().isidentifier():
        raise BadOption("optimizer_args", f'--optimizer_args "{word}": write name=value, such as weight_decay=0.01.')
    switches = {"true": True, "false": False, "none": None}
    if text.strip().lower() in switches:
        return name.strip(), switches[text.strip().lower()]
    try:
        return name.strip(), ast.literal_eval(text.strip())
    except (ValueError, SyntaxError) as error:
        sentence = f'--optimizer_args "{word}": "{text}" is no number, list, True or False. Put quotes around a text.'
        raise BadOption("optimizer_args", sentence) from error


def learning_rates(optimizer: "torch.optim.Optimizer") -> dict[str, float]:
    """The present learning rate of each group, by its name; AdaFactor's own where it sets them itself."""
    return {group["name"]: float(_rate(optimizer, group)) for group in optimizer.param_groups}


def set_learning_rates(optimizer: "torch.optim.Optimizer", factor: float) -> None:
    """Each group's rate becomes `factor` times the one it was made with."""
    for group in optimizer.param_groups:
        if group["lr"] is not None:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def _rate(optimizer: "torch.optim.Optimizer", group: dict[str, Any]) -> float:
    if group["lr"] is not None:
        return float(group["lr"])
    # AdaFactor with relative steps: known from the first step on.
    inner = getattr(optimizer, "optimizer", optimizer)
    state = inner.state.get(group["params"][0])
    return inner._get_lr(group, state) if state else 0.0


def _for_adafactor(groups: Groups, arguments: dict[str, Any]) -> tuple[Groups, dict[str, Any]]:
    """With relative steps AdaFactor sets the rates itself, and takes none; warmup_init needs relative steps."""
    if arguments.get("warmup_init"):
        arguments = {**arguments, "relative_step": True}
    return ([{**group, "lr": None} for group in groups] if arguments["relative_step"] else groups), arguments


def _any_class(name: str) -> Callable[..., Any]:
    import torch

    module, _, class_name = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        raise BadOption(
            "optimizer_type", f'--optimizer_type "{name}" is no class with its module, as torch.optim.RAdam.'
        )
    builder = _load(module, class_name, module.partition(".")[0])
    if not (inspect.isclass(builder) and issubclass(builder, torch.optim.Optimizer)):
        raise BadOption("optimizer_type", f"--optimizer_type {name} is no class of a torch optimizer.")
    step: Any = vars(builder).get("step", torch.optim.Optimizer.step)
    closure = inspect.signature(step).parameters.get("closure")
    if closure and closure.default is inspect.Parameter.empty:
        raise BadOption("optimizer_type", f"--optimizer_type {name} repeats its steps, which training here does not.")
    return builder


def _load(module: str, class_name: str, package: str) -> Callable[..., Any]:
    try:
        return getattr(importlib.import_module(module), class_name)
    except ImportError as error:
        sentence = (
            f"The optimizer {class_name} needs the package {package}, which is not installed or does not run here"
        )
        raise NotInstalled(f"{sentence} ({error}). Install it, or use --optimizer_type AdamW.") from error
    except AttributeError as error:
        raise BadOption("optimizer_type", f"--optimizer_type: {module} has no class {class_name}.") from error


def _check_arguments(builder: Callable[..., Any], arguments: dict[str, Any], name: str) -> None:
    taken = inspect.signature(builder).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return
    for argument in arguments:
        if argument not in taken or argument in ("params", "lr"):
            there = ", ".join(p for p in taken if p not in ("params", "lr"))
            raise BadOption("optimizer_args", f"{name} has no argument {argument}. It takes {there}.")
