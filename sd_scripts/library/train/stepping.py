"""How gradients change weights: all at once, or as fused.py and zero.py do it."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import nn

UNKNOWN_NORM = -1.0
"""Where nobody tells a gradient's norm."""


class Finished(NamedTuple):
    """How a step ended. `taken` is False where it is known that it was left out; figures that come late may say so."""

    grad_norm: torch.Tensor
    taken: bool = True


class Steps(Protocol):
    """The way from the losses of a window's batches to changed weights.

    `apart`: the weights change in `finish`, so that how long that takes can be told from the backward pass.
    `whole`: a step that came to no numbers is left out, and the weights are as they were.
    """

    apart: ClassVar[bool]
    whole: ClassVar[bool]

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Around the passes of a batch: processes exchange gradients with the `last` one of a window."""

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """The backward pass of a batch."""

    def finish(self, loss: torch.Tensor) -> Finished:
        """After the last batch: the weights are changed and gradients gone. `loss`: that of all batches and processes.

        Gives the gradient's norm, not clipped.
        """

    def go_on(self) -> None:
        """Steps are taken again, after one was left out and someone has seen to it."""


class Guard:
    """Takes an optimizer's step only where loss and gradient are numbers.

    Looking at them first makes the host wait for the device. Optimizers whose step is one kernel can leave it out by
    themselves, by a number on the device (torch's `found_inf`, made for the scaler of fp16): `late`, nobody waits, and
    the figures tell afterwards. Until someone has seen to it the steps that follow are then left out too (`lasting`),
    so that the weights stay those before the first.

    `scaled`: accelerate's way to a step of this optimizer, for the scaler alone: it looks for packages in every step.
    """

    def __init__(self, scaled: Any, optimizer: torch.optim.Optimizer, late: bool, lasting: bool) -> None:
        self._scaled = scaled
        self._optimizer = optimizer
        self._late = late
        self._lasting = lasting
        self._bad: torch.Tensor | None = None

    def step(self, loss: torch.Tensor, grad_norm: torch.Tensor) -> bool:
        """Whether the step was taken, as far as it is known."""
        fine = loss.isfinite() & grad_norm.isfinite().to(loss.device)
        if self._late:
            self._step_unseen(~fine)
            return True
        taken = bool(fine)
        if not taken:
            self._optimizer.zero_grad()
        # The scaler of fp16 has seen what overflowed: in its step it lowers its scale. There is no gradient to take.
        if self._scaled.scaler is not None:
            self._scaled.step()
        elif taken:
            self._optimizer.step()
        return taken

    def go_on(self) -> None:
        """What happened is forgotten."""
        self._bad = None

    def _step_unseen(self, bad: torch.Tensor) -> None:
        if self._lasting and self._bad is not None:
            bad = bad | self._bad
        self._bad = bad
        self._optimizer.found_inf = bad.float()
        try:
            self._optimizer.step()
        finally:
            del self._optimizer.found_inf


def leaves_out_by_itself(optimizer: torch.optim.Optimizer, device: torch.device, scaler: Any) -> bool:
    """Whether an optimizer can leave out steps on a device that is not to be waited for.

    The scaler of fp16 uses the same way for its own purposes, and waits for most optimizers anyway.
    """
    return device.type == "cuda" and scaler is None and bool(getattr(optimizer, "_step_supports_amp_scaling", False))


class WholeSteps:
    """All weights change once the window's gradients are added up and scaled down to `max_norm` together."""

    apart: ClassVar[bool] = True
    whole: ClassVar[bool] = True

    def __init__(
        self, accelerator: Any, module: nn.Module, optimizer: torch.optim.Optimizer,
        parameters: Sequence[nn.Parameter], max_norm: float, guard: Guard,
    ) -> None:  # fmt: skip
        self._accelerator = accelerator
        self._module = module
        self._optimizer = optimizer
        self._parameters = parameters
        self._max_norm = max_norm
        self._guard = guard
        # torch cannot leave an exchange out of a static graph; what was averaged before stays the same by another.
        self._each = bool(getattr(module, "static_graph", False))

    def exchange(self, last: bool) -> AbstractContextManager[Any]:
        """Once a window where that can be."""
        return nullcontext() if last or self._each else self._accelerator.no_sync(self._module)

    def backward(self, loss: torch.Tensor, last: bool) -> None:
        """Adds up gradients."""
        scaler = self._accelerator.scaler
        (scaler.scale(loss) if scaler else loss).backward()

    def finish(self, loss: torch.Tensor) -> Finished:
        """Clips and steps."""
        # What accelerate's own does too, where nothing is divided; it looks at each gradient first.
        self._accelerator.unscale_gradients()
        grad_norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._max_norm)
        taken = self._guard.step(loss, grad_norm)
        self._optimizer.zero_grad()
        return Finished(grad_norm, taken)

    def go_on(self) -> None:
        """As the guard does."""
        self._guard.go_on()
