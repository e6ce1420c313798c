"""Optimizer steps within the backward pass: weights change as soon as their gradients are there, which then go."""

import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.optimizers import OptimizerSettings, make_optimizer
from sd_scripts.library.train.stepping import Finished
from sd_scripts.options.optimizer import OPTIMIZER_GROUPS

_TRIAL_STEPS = 8

ONE_BY_ONE = (*OPTIMIZER_GROUPS["usual"], *OPTIMIZER_GROUPS["torch"], "CAME")
"""Optimizers that treat each weight by itself, as do those of the group low_memory."""


class FusedSteps:
    """The Steps that are made in the backward pass. Each gradient is scaled down to `max_norm` by itself.

    `portions`: weights change in about so many portions, each once it has all of its gradients; 0: each by itself.
    When a gradient comes that is no number, others have changed their weights already: that one counts as 0, so that
    the weights stay numbers, and the norm tells it.
    """

    apart: ClassVar[bool] = False
    whole: ClassVar[bool] = False

    def __init__(self, optimizer: torch.optim.Optimizer, max_norm: float, portions: int = 0) -> None:
        self._optimizer = optimizer
        self._max_norm = max_norm
        self._squares: list[torch.Tensor] = []
        self._portions = _portions(optimizer, portions)
        for portion in self._portions:
            for parameter in portion.parameters:
                parameter.register_post_accumulate_grad_hook(partial(self._take, portion))

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Nothing is exchanged: there is one process."""
        return nullcontext()

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Changes the weights on its way; a window has one batch."""
        loss.backward()

    def finish(self, loss: torch.Tensor) -> Finished:
        """With the norm of all gradients of the last backward pass, before any was scaled down."""
        for portion in self._portions:
            # Some weights had no gradient in this pass.
            self._step(portion)
        squares, self._squares = self._squares, []
        return Finished(torch.stack(squares).sum().sqrt())

    def go_on(self) -> None:
        """Steps were taken all the time."""

    def _take(self, portion: "_Portion", parameter: torch.Tensor) -> None:
        norm = torch.nn.utils.clip_grad_norm_([parameter], self._max_norm)
        norm = norm.detach().float()
        self._squares.append(norm.square())
        assert parameter.grad is not None
        # On the device: looking at each would wait for it hundreds of times a step.
        parameter.grad.masked_fill_(~norm.isfinite(), 0.0)
        portion.ready.append(parameter)
        if len(portion.ready) == len(portion.parameters):
            self._step(portion)

    def _step(self, portion: "_Portion") -> None:
        if portion.ready:
            step_some(self._optimizer, portion.group, portion.ready)
        for parameter in portion.ready:
            parameter.grad = None
        portion.ready = []


@dataclass
class _Portion:
    """Weights of one of the optimizer's groups, and those of them that have their gradients.

    The group is known by its number: an optimizer's groups are other objects once a state is loaded.
    """

    group: int
    parameters: list[torch.Tensor]
    ready: list[torch.Tensor] = field(default_factory=list)


def _portions(optimizer: torch.optim.Optimizer, portions: int) -> list[_Portion]:
    """Each group is cut by itself, so that all of a portion have one rate; that may make a few more of them."""
    total = sum(len(group["params"]) for group in optimizer.param_groups)
    size = math.ceil(total / portions) if portions else 1
    return [
        _Portion(number, group["params"][start : start + size])
        for number, group in enumerate(optimizer.param_groups)
        for start in range(0, len(group["params"]), size)
    ]


def step_some(optimizer: torch.optim.Optimizer, number: int, some: list[torch.Tensor]) -> None:
    """A step of some parameters of a group; the optimizer's memory is the same as after a step of all."""
    with narrowed(optimizer, number, some):
        optimizer.step()


@contextmanager
def narrowed(optimizer: torch.optim.Optimizer, number: int, some: list[torch.Tensor]) -> Iterator[None]:
    """Meanwhile the optimizer sees some parameters of one group: looking through all for each would take long."""
    groups = optimizer.param_groups
    group, parameters = groups[number], groups[number]["params"]
    optimizer.param_groups, group["params"] = [group], some
    try:
        yield
    finally:
        optimizer.param_groups, group["params"] = groups, parameters


def check_fused(settings: OptimizerSettings, option: str = "fused_backward_pass") -> None:
    """Raises BadOption for an optimizer that takes account of whole steps, so that steps one by one come out else."""
    together, apart = _trial(settings, fused=False), _trial(settings, fused=True)
    if not torch.allclose(together, apart, rtol=1e-4, atol=0.0):
        name = settings.optimizer_type or "this optimizer"
        sentence = f"{name} takes account of whole steps, so it cannot change weights one by one."
        advice = f"Use one of {', '.join(ONE_BY_ONE)}, or any 8-bit or paged one"
        raise BadOption(option, f"--{option}: {sentence} {advice}.")


def _trial(settings: OptimizerSettings, fused: bool) -> torch.Tensor:
    """How two small tensors change in a few steps."""
    parameters = [nn.Parameter(torch.linspace(-1, 1, 6).view(2, 3) * scale) for scale in (1.0, 30.0)]
    # At this rate optimizers that choose their own show that they do.
    groups = [{"params": parameters, "lr": 1.0, "name": "trial"}]
    optimizer = make_optimizer(groups, settings)
    before = torch.cat([parameter.detach().flatten() for parameter in parameters]).clone()
    if hasattr(optimizer, "train"):
        optimizer.train()
    for _ in range(_TRIAL_STEPS):
        for parameter in parameters:
            parameter.grad = torch.sin(parameter.detach() * 3) + 0.1
        if fused:
            for parameter in parameters:
                step_some(optimizer, 0, [parameter])
        else:
            optimizer.step()
    return torch.cat([parameter.detach().flatten() for parameter in parameters]) - before
