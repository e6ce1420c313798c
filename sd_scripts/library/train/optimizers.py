"""Optimizers by name: many known ones, and any class of any installed package. Imports torch late."""

import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.arguments import check_arguments, load_named, read_arguments
from sd_scripts.library.train.known_optimizers import CANNOT, KNOWN, MUON
from sd_scripts.options.optimizer import OPTIMIZER_GROUPS, finds_its_rate, optimizers_like

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


def make_optimizer(groups: Groups, settings: OptimizerSettings) -> "torch.optim.Optimizer":
    """The optimizer that the options ask for, over `groups` (params, lr, name).

    Errors: BadOption, NotInstalled.
    """
    name = optimizer_name(settings)
    builder = _builder(name)
    arguments = optimizer_arguments(settings)
    taken = inspect.signature(builder).parameters
    # Weights, its first argument under whatever name, and the rate are given here.
    check_arguments(builder, arguments, "optimizer_args", name, kept=(next(iter(taken)), "lr"))
    if sets_its_rates(settings):
        groups = [{**group, "lr": None} for group in groups]
    elif "lr" in taken:
        arguments = {**arguments, "lr": settings.learning_rate}
    if name in MUON:
        groups = _matrices_apart(groups, arguments)
    try:
        optimizer: torch.optim.Optimizer = builder(groups, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError, NotImplementedError) as error:
        reason = str(error).rstrip(".")
        raise BadOption("optimizer_args", f"{name} does not take these arguments: {reason}.") from error
    return optimizer


def trial_optimizer(settings: OptimizerSettings) -> "torch.optim.Optimizer":
    """The optimizer over one number: what is wrong shows before anything is loaded. Errors: BadOption, NotInstalled."""
    import torch

    one = torch.nn.Parameter(torch.zeros(1))
    return make_optimizer([{"params": [one], "lr": settings.learning_rate, "name": "one"}], settings)


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
    return asked if "." in asked else _known_name(asked)


def optimizer_arguments(settings: OptimizerSettings) -> dict[str, Any]:
    """The arguments that the optimizer gets beside weights and rates. Errors: BadOption."""
    known = KNOWN.get(optimizer_name(settings))
    arguments = {**(known.arguments if known else {}), **read_arguments(settings.optimizer_args, "optimizer_args")}
    # AdaFactor's own warm-up is part of its own rates.
    return {**arguments, "relative_step": True} if arguments.get("warmup_init") else arguments


def described(settings: OptimizerSettings) -> str:
    """The optimizer with the given arguments, for the saved file: AdamW(weight_decay=0.1). Errors: BadOption."""
    given = read_arguments(settings.optimizer_args, "optimizer_args")
    arguments = ",".join(f"{name}={value}" for name, value in given.items())
    return optimizer_name(settings) + (f"({arguments})" if arguments else "")


def sets_its_rates(settings: OptimizerSettings) -> bool:
    """Whether the optimizer takes no learning rate at all: AdaFactor with relative steps. Errors: BadOption."""
    return optimizer_name(settings) == "AdaFactor" and bool(optimizer_arguments(settings)["relative_step"])


def learning_rates(optimizer: "torch.optim.Optimizer") -> dict[str, float]:
    """The present learning rate of each group that is still trained, by its name.

    AdaFactor's own where it sets them itself. Where the optimizer finds a factor d, d*lr stands before the others.
    """
    # DeepSpeed's stage 3 empties its groups between steps.
    groups = [
        group
        for group in optimizer.param_groups
        if not group["params"] or any(one.requires_grad for one in group["params"])
    ]
    rates = {group["name"]: float(_rate(optimizer, group)) for group in groups}
    if not finds_its_rate(type(optimizer).__name__):
        return rates
    found = {f"d*lr/{group['name']}": float(group["d"]) * float(group["lr"]) for group in groups}
    return found | rates


def set_learning_rates(optimizer: "torch.optim.Optimizer", factor: float) -> None:
    """Each group's rate becomes `factor` times the one it was made with."""
    for group in optimizer.param_groups:
        if group["lr"] is not None:
            group["lr"] = group.setdefault("initial_lr", group["lr"]) * factor


def as_weights_lie(optimizer: "torch.optim.Optimizer") -> None:
    """What is remembered of each weight is put in the order of its weights in memory (--opt_channels_last): kernels go
    through both as they lie. Errors: ValueError, for 8-bit memory, whose scales are of runs in its own order."""
    import torch

    for weight, memory in optimizer.state.items():
        # Some keep a figure of all weights there as well.
        for name, value in memory.items() if isinstance(memory, dict) else ():
            if isinstance(value, torch.Tensor) and value.shape == weight.shape and value.stride() != weight.stride():
                if not value.is_floating_point():
                    raise ValueError(f"{name} lies in another order than its weights")
                memory[name] = torch.empty_like(weight, dtype=value.dtype).copy_(value)


def as_saved(optimizer: "torch.optim.Optimizer", kept: dict[str, Any]) -> None:
    """What was remembered in other numbers than those of its weights is so again, to the last digit.

    torch rounds it to theirs: sums in float32, as AdaFactor keeps beside weights in bf16. `kept`: the saved state.
    """
    import torch

    if not {"state", "param_groups"} <= kept.keys():
        return
    numbers = [number for group in kept["param_groups"] for number in group["params"]]
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    for number, weight in zip(numbers, weights, strict=True):
        memory, before = optimizer.state.get(weight, {}), kept["state"].get(number, {})
        for name, value in before.items() if isinstance(before, dict) else ():
            if isinstance(value, torch.Tensor) and name in memory and memory[name].dtype != value.dtype:
                memory[name] = value.to(memory[name].device)


def _rate(optimizer: "torch.optim.Optimizer", group: dict[str, Any]) -> float:
    if group["lr"] is not None:
        return float(group["lr"])
    # AdaFactor with relative steps: known from the first step on.
    inner = getattr(optimizer, "optimizer", optimizer)
    state = inner.state.get(group["params"][0])
    return inner._get_lr(group, state) if state else 0.0


def _matrices_apart(groups: Groups, arguments: dict[str, Any]) -> Groups:
    """Each group as two: matrices and kernels for Muon, and vectors for the AdamW within it, at `adamw_lr` if given."""
    parts: Groups = []
    for group in groups:
        vectors = [parameter for parameter in group["params"] if parameter.ndim < 2]
        matrices = [parameter for parameter in group["params"] if parameter.ndim >= 2]
        rate = arguments.get("adamw_lr", group["lr"])
        parts.append({**group, "params": matrices, "use_muon": True})
        parts.append({**group, "params": vectors, "use_muon": False, "lr": rate, "name": f"{group['name']}.vectors"})
    return [part for part in parts if part["params"]]


def _known_name(asked: str) -> str:
    by_lower = {name.lower(): name for name in KNOWN}
    _refuse({name.lower(): name for name in CANNOT}.get(asked.lower(), ""))
    if asked.lower() in by_lower:
        return by_lower[asked.lower()]
    if close := optimizers_like(asked):
        near = f"Did you mean {' or '.join(close)}?"
    else:
        usual = ", ".join(OPTIMIZER_GROUPS["usual"])
        near = f"Use {usual}, another of torch or pytorch-optimizer by its name, or a class with its module."
    raise BadOption("optimizer_type", f'--optimizer_type "{asked}": there is no such optimizer. {near}')


def _builder(name: str) -> Callable[..., Any]:
    instead = "use --optimizer_type AdamW"
    if known := KNOWN.get(name):
        return load_named(known.module, known.class_name, "optimizer_type", known.package, instead)
    module, _, class_name = name.rpartition(".")
    if not all(part.isidentifier() for part in name.split(".")):
        sentence = f'--optimizer_type "{name}" is no class with its module, as torch.optim.RAdam.'
        raise BadOption("optimizer_type", sentence)
    package = module.partition(".")[0]
    if package in ("torch", "pytorch_optimizer"):
        _refuse(class_name)
    builder = load_named(module, class_name, "optimizer_type", package, instead)
    _check_class(builder, name)
    return builder


def _check_class(builder: Any, name: str) -> None:
    import torch

    if not (inspect.isclass(builder) and issubclass(builder, torch.optim.Optimizer)):
        raise BadOption("optimizer_type", f"--optimizer_type {name} is no class of a torch optimizer.")
    step: Any = vars(builder).get("step", torch.optim.Optimizer.step)
    closure = inspect.signature(step).parameters.get("closure")
    if closure and closure.default is inspect.Parameter.empty:
        raise BadOption("optimizer_type", f"--optimizer_type {name} repeats its steps, which training here does not.")


def _refuse(name: str) -> None:
    if name in CANNOT:
        sentence = f"--optimizer_type {name} {CANNOT[name]}, so it cannot train here. Use another, such as AdamW."
        raise BadOption("optimizer_type", sentence)
