"""A moving average of the trained weights."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager

import torch
from torch import nn

COUNT = "updates"


class Averages:
    """Averages in float32 of the weights that are trained, each step's counting for 1 - decay.

    At first the decay is less, min(decay, (1 + n) / (10 + n)) after n steps, so that the start is soon forgotten.
    Source: B. T. Polyak and A. B. Juditsky, 1992; the warm-up is that of TensorFlow's ExponentialMovingAverage.
    """

    def __init__(self, modules: Mapping[str, nn.Module], decay: float, device: str | None = None) -> None:
        self._decay = decay
        self._updates = 0
        self._weights = {
            f"{part}.{name}": parameter
            for part, module in modules.items()
            for name, parameter in module.named_parameters()
            if parameter.requires_grad
        }
        self._averages = {
            name: weight.detach().to(device or weight.device, torch.float32, copy=True)
            for name, weight in self._weights.items()
        }

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the weights after a step."""
        share = 1.0 - min(self._decay, (1 + self._updates) / (10 + self._updates))
        self._updates += 1
        averages, weights = list(self._averages.values()), list(self._weights.values())
        pairs = zip(weights, averages, strict=True)
        torch._foreach_lerp_(averages, [weight.to(average.device, torch.float32) for weight, average in pairs], share)

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Meanwhile the averages stand where the weights do."""
        own = {
            name: weight.detach().to(self._averages[name].device, copy=True) for name, weight in self._weights.items()
        }
        self._put(self._averages)
        try:
            yield
        finally:
            self._put(own)

    def state_dict(self) -> dict[str, torch.Tensor]:
        """The averages and the number of steps in them."""
        return {**self._averages, COUNT: torch.tensor(self._updates)}

    def load_state_dict(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Takes those of a state. Errors: ValueError, where they are of other weights."""
        shapes = {name: average.shape for name, average in self.state_dict().items()}
        if shapes != {name: tensor.shape for name, tensor in tensors.items()}:
            raise ValueError("averages of other weights")
        for name, average in self._averages.items():
            average.copy_(tensors[name])
        self._updates = int(tensors[COUNT])

    @torch.no_grad()
    def settle(self, parameters: Iterable[nn.Parameter]) -> None:
        """These weights, which are trained no more, become their averages, as those are what is saved."""
        settled = {id(parameter) for parameter in parameters}
        for name, weight in self._weights.items():
            if id(weight) in settled:
                weight.copy_(self._averages[name])
                self._averages[name].copy_(weight)

    def begin_anew(self) -> None:
        """The average is that of the weights as they stand now, and has seen no step."""
        for name, weight in self._weights.items():
            self._averages[name].copy_(weight.detach())
        self._updates = 0

    @torch.no_grad()
    def _put(self, values: Mapping[str, torch.Tensor]) -> None:
        for name, weight in self._weights.items():
            weight.copy_(values[name])
