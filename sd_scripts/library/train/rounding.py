"""Training in bf16 whose results are rounded by lot: up as often as they lie near the number above.

A number in bf16 has 8 binary digits. Rounded to the nearest, what changes it by less than 1/512 is lost, again and
again, and an average that remembers 999 parts of 1000 never falls. Rounded by lot, each change counts on average.
Source: Gupta et al., "Deep Learning with Limited Numerical Precision", 2015.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import torch

from sd_scripts.library.footprint.portions import PORTION, cut
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.fused import narrowed

_LOST_BITS = 16
_KEPT_BITS = -(1 << _LOST_BITS)


class StochasticRounding:
    """An optimizer's steps in float32, a portion of its weights after the other, which are then rounded by lot.

    What the optimizer remembers of each weight is held and rounded in the same way. Only for optimizers that treat
    each weight by itself (fused.check_fused).
    """

    def __init__(self, optimizer: torch.optim.Optimizer, seed: int) -> None:
        self._optimizer = optimizer
        self._seed = seed
        self._lots: dict[torch.device, torch.Generator] = {}
        self._step_wide: Any = optimizer.step
        optimizer.step = self._step

    def come_to(self, step: int) -> None:
        """Before the `step`th step: its lots follow from it, and so a resumed training draws the same."""
        for device in {one.device for group in self._optimizer.param_groups for one in group["params"]}:
            lots = self._lots.setdefault(device, torch.Generator(device))
            lots.manual_seed(derive(self._seed, "rounding", step))

    @torch.no_grad()
    def _step(self, closure: None = None) -> None:
        for number, group in enumerate(self._optimizer.param_groups):
            for some in portions([one for one in group["params"] if one.grad is not None]):
                self._step_some(number, some)

    def _step_some(self, number: int, some: list[torch.Tensor]) -> None:
        halves = [one for one in some if one.dtype == torch.bfloat16]
        narrow = [one.data for one in halves]
        weights, gradients = _Wide(narrow), _Wide([one.grad for one in halves if one.grad is not None])
        remembered = self._widen_memory(halves)
        for one, weight, gradient in zip(halves, weights.tensors, gradients.tensors, strict=True):
            one.grad, one.data = None, weight
            one.grad = gradient
        with narrowed(self._optimizer, number, some):
            self._step_wide()
        # The gradients go with their memory: the next ones are in bf16 again.
        for one, weight in zip(halves, narrow, strict=True):
            one.grad, one.data = None, weight
        weights.round_into(narrow, self._lots)
        self._narrow_memory(halves, remembered)

    def _widen_memory(self, halves: Sequence[torch.Tensor]) -> "dict[str, _Wide]":
        """What is remembered of each weight, in float32; by name."""
        state, wide = self._optimizer.state, {}
        for name, known in _by_memory(halves, state).items():
            wide[name] = _Wide([state[one][name] for one in known])
            for one, tensor in zip(known, wide[name].tensors, strict=True):
                state[one][name] = tensor
        return wide

    def _narrow_memory(self, halves: Sequence[torch.Tensor], wide: "dict[str, _Wide]") -> None:
        state = self._optimizer.state
        for name, known in _by_memory(halves, state).items():
            made = [state[one][name] for one in known]
            before = wide.get(name)
            # New at a weight's first gradient, or put in place of what was remembered.
            if before is None or list(map(id, made)) != list(map(id, before.tensors)):
                before = _Wide(made)
            narrow = [torch.empty_like(tensor, dtype=torch.bfloat16) for tensor in made]
            before.round_into(narrow, self._lots)
            for one, tensor in zip(known, narrow, strict=True):
                state[one][name] = tensor


class _Wide:
    """Tensors in float32, which lie one after the other, so that all of them are rounded at once."""

    def __init__(self, tensors: Sequence[torch.Tensor]) -> None:
        self._flat = torch.empty(
            sum(tensor.numel() for tensor in tensors), device=tensors[0].device if tensors else None
        )
        self.tensors: list[torch.Tensor] = []
        start = 0
        for tensor in tensors:
            part = self._flat[start : start + tensor.numel()]
            # As the tensor lies, with its channels last or not.
            self.tensors.append(part.as_strided(tensor.shape, tensor.stride()))
            start += tensor.numel()
        if tensors:
            torch._foreach_copy_(self.tensors, list(tensors))

    def round_into(self, narrow: list[torch.Tensor], lots: dict[torch.device, torch.Generator]) -> None:
        """Rounds by lot, and copies the outcome."""
        if narrow:
            round_by_lot(self._flat, lots[self._flat.device])
            torch._foreach_copy_(narrow, self.tensors)


def round_by_lot(numbers_N: torch.Tensor, lots: torch.Generator) -> None:
    """Changes numbers in float32 to ones that bf16 has: one of the two beside each, the nearer one more likely."""
    bits_N = numbers_N.view(torch.int32)
    lots_N = torch.randint(0, 1 << _LOST_BITS, bits_N.shape, dtype=torch.int32, device=bits_N.device, generator=lots)
    # What is no number stays so: with more, its bits might become those of zero.
    bits_N.add_(lots_N.masked_fill_(numbers_N.isnan(), 0)).bitwise_and_(_KEPT_BITS)


def portions(parameters: Sequence[torch.Tensor]) -> Iterator[list[torch.Tensor]]:
    """Parameters in groups of about PORTION weights; a larger one is a group of its own."""
    for place in cut([one.numel() for one in parameters], PORTION):
        yield list(parameters[place])


def _by_memory(parameters: Sequence[torch.Tensor], state: dict[Any, Any]) -> dict[str, list[torch.Tensor]]:
    """{name of what an optimizer remembers of each weight: those that it remembers it of}, in order of their names."""
    found: dict[str, list[torch.Tensor]] = {}
    for one in parameters:
        for name in _of_each_weight(one, state[one]):
            found.setdefault(name, []).append(one)
    return dict(sorted(found.items()))


def _of_each_weight(parameter: torch.Tensor, state: dict[str, Any]) -> list[str]:
    """Names of what an optimizer remembers of each weight."""
    return [
        name
        for name, value in state.items()
        if isinstance(value, torch.Tensor) and value.is_floating_point() and value.shape == parameter.shape
    ]
