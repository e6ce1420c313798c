"""A step that needs less memory than it was asked for, and learns the same (--on_oom retry)."""

import gc
from collections.abc import Iterator
from dataclasses import fields, replace
from typing import Any

import torch

from sd_scripts.library.models.family import Family
from sd_scripts.library.report import Report
from sd_scripts.library.shortage import is_out_of_memory
from sd_scripts.library.train.batches import Batch
from sd_scripts.library.train.memory_advice import Shortage
from sd_scripts.options.training import PrecisionOptions


class Smaller:
    """Takes one notch after the other: first what the backward pass needs is recomputed, then batches go in parts.

    The window of a step stays the same, and so its loss and gradient, up to rounding: its batches only pass in more
    parts, whose gradients are added up. `offload`: what is recomputed from waits in RAM.
    """

    def __init__(
        self, family: Family, offload: bool, precision: PrecisionOptions, shortage: Shortage, report: Report
    ) -> None:
        self._family = family
        self._offload = offload
        self._precision = precision
        self._shortage = shortage
        self._report = report
        self._parts = 1

    def parts(self, batch: Batch) -> list[Batch]:
        """The batch, or what it passes in."""
        size = -(-len(batch.images) // self._parts)
        return [batch] if size >= len(batch.images) else list(parts_of(batch, size))

    def helps(self, error: BaseException, largest: int, step: int) -> bool:
        """Whether an error says that memory ran out, and there is a notch left, which is then taken and told.

        `largest`: the pictures of the step's largest batch; `step`: its number, from 1.
        """
        if not is_out_of_memory(error):
            return False
        precision = self._precision
        if not precision.gradient_checkpointing or precision.gradient_checkpointing_levels is not None:
            everywhere = " of all levels" if precision.gradient_checkpointing else ""
            precision.gradient_checkpointing, precision.gradient_checkpointing_levels = True, None
            self._family.use_gradient_checkpointing(self._offload)
            self._tell(step, f"from here on as with --gradient_checkpointing{everywhere}")
            return True
        if self._parts < largest:
            self._parts *= 2
            size = -(-largest // self._parts)
            # What is advised when nothing is left takes account of it.
            self._shortage.use_batches_of(size)
            same = f"--train_batch_size {size} and {self._parts} times the --gradient_accumulation_steps"
            self._tell(step, f"from here on as with {same}")
            return True
        return False

    def _tell(self, step: int, how: str) -> None:
        self._report.notice(f"Memory ran out at step {step:,}. The step is done again, {how}.", "warning")


def parts_of(batch: Batch, size: int) -> Iterator[Batch]:
    """The batch cut into batches of so many pictures; the last may be smaller."""
    for start in range(0, len(batch.images), size):
        some = slice(start, start + size)
        cut = {name: value[some] for name, value in _by_picture(batch)}
        yield replace(batch, **cut, count=len(cut["images"]))


def free_memory() -> None:
    """What nobody holds any more goes back to the device."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _by_picture(batch: Batch) -> Iterator[tuple[str, Any]]:
    """The fields that have a row for each picture."""
    for one in fields(batch):
        value = getattr(batch, one.name)
        if isinstance(value, torch.Tensor | list):
            yield one.name, value
