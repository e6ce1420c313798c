"""How long the parts of an optimizer step take: asked of the device, and read late, so that nothing waits for it."""

import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import Any, TypeVar

import torch

T = TypeVar("T")


class StepTimes:
    """The marks between the parts of one step. Reading them before the device is done waits for it."""

    def __init__(self, parts: list[str], marks: list[Any]) -> None:
        self._parts = parts
        self._marks = marks

    def seconds(self) -> dict[str, float]:
        """How long each part took in all, however often it came."""
        found: dict[str, float] = defaultdict(float)
        for part, (began, ended) in zip(self._parts, pairwise(self._marks), strict=True):
            found[part] += _between_s(began, ended)
        return dict(found)


class StepClock:
    """Marks where the parts of a step begin.

    On CUDA the marks are events in the device's queue. Elsewhere they are what the host sees, which is all there is on
    the CPU; Metal works on behind the host's back, so there the part that waits for it looks long.
    """

    def __init__(self, device: torch.device) -> None:
        self._mark: Callable[[], Any] = _device_mark if device.type == "cuda" else time.perf_counter
        self._parts: list[str] = []
        self._marks: list[Any] = []

    def start(self, part: str) -> None:
        """A step begins, with this part; what was marked of one that came to nothing is forgotten."""
        self._parts, self._marks = [], []
        self.then(part)

    def then(self, part: str) -> None:
        """The part before ends, this one begins."""
        self._parts.append(part)
        self._marks.append(self._mark())

    def stop(self) -> StepTimes:
        """The step has ended."""
        return StepTimes(self._parts, [*self._marks, self._mark()])


def waited(items: Iterator[T]) -> Iterator[tuple[T, float]]:
    """Each item with the seconds that it was waited for."""
    while True:
        began_s = time.perf_counter()
        try:
            item = next(items)
        except StopIteration:
            return
        yield item, time.perf_counter() - began_s


def _device_mark() -> torch.cuda.Event:
    event = torch.cuda.Event(enable_timing=True)
    event.record()
    return event


def _between_s(began: Any, ended: Any) -> float:
    if isinstance(began, float):
        return float(ended - began)
    ended.synchronize()
    return float(began.elapsed_time(ended)) / 1000
