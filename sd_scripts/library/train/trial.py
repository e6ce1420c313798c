"""Some real steps of a training, for what they take: seconds and memory. Nothing is written but what is asked for."""

import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from sd_scripts.library import events
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.training_data import TrainingData
from sd_scripts.library.errors import BadOption, OutOfMemory
from sd_scripts.library.events import Event
from sd_scripts.library.ram import free_ram_bytes, peak_ram_bytes
from sd_scripts.library.report import Report
from sd_scripts.library.shortage import is_out_of_memory
from sd_scripts.library.train import assembly
from sd_scripts.library.train.own_checks import OWN_CHECKS
from sd_scripts.library.train.script import ready_to_train
from sd_scripts.options.hub import HubOptions
from sd_scripts.options.output import ConsoleOptions
from sd_scripts.options.training import (
    LengthOptions,
    LoggingOptions,
    SampleOptions,
    SavingOptions,
    StateOptions,
    TroubleOptions,
)
from sd_scripts.options.validation import ValidationOptions

WARM_UP_STEPS = 2
"""In the first step the optimizer makes its states, and libraries choose how to compute."""

_NEVER = 1_000_000

TRAININGS: dict[str, Callable[[Any, Report], None]] = {
    "fine_tune.py": assembly.fine_tune,
    "train_db.py": assembly.fine_tune,
    "sdxl_train.py": assembly.sdxl_train,
    "train_network.py": assembly.train_network,
    "sdxl_train_network.py": assembly.sdxl_train_network,
    "train_textual_inversion.py": assembly.train_textual_inversion,
    "sdxl_train_textual_inversion.py": assembly.sdxl_train_textual_inversion,
    "train_hypernetwork.py": assembly.train_hypernetwork,
}
"""{script: its training, once its options are checked}."""


@dataclass(frozen=True)
class Tried:
    """What the steps took: the median of a step, its pictures not waited for; the most memory so far, of the device
    with what its driver takes, or without a GPU of the process; `allocated_bytes`: of a GPU's tensors alone. `fits` is
    False where memory ran out."""

    fits: bool
    step_s: float = 0.0
    peak_bytes: float = 0.0
    allocated_bytes: float = 0.0


class Enough(Exception):
    """The steps that were to be tried are done."""


class StepCounter(Report):
    """A report that ends the training after so many steps, and keeps how long each took."""

    def __init__(self, steps: int) -> None:
        super().__init__(out=sys.stderr)
        self.seconds: list[float] = []
        self._steps = WARM_UP_STEPS + steps

    def emit(self, event: Event) -> None:
        """Takes the figures of a step. Errors: Enough."""
        if isinstance(event, events.Metric):
            self.seconds.append(event.values["step_s"] - event.values["data_s"])
            if len(self.seconds) >= self._steps:
                raise Enough


def try_steps(
    script: str, options: Any, steps: int, room: str | None = None, report: StepCounter | None = None
) -> Tried:
    """Trains `steps` steps after the first two, with the largest pictures that there are; `room`: a folder to work in.

    Errors: UserError.
    """
    report = report or StepCounter(steps)
    with tempfile.TemporaryDirectory(prefix="try-steps-", dir=room) as folder, _with_few(largest_pictures):
        try:
            tried = _nothing_kept(options, folder)
            if not ready_to_train(tried, report, OWN_CHECKS[script]):
                raise BadOption("debug_dataset", "--debug_dataset shows pictures and trains nothing. Leave it out.")
            TRAININGS[script](tried, report)
        except Enough:
            pass
        except (OutOfMemory, MemoryError, RuntimeError) as error:
            if not isinstance(error, OutOfMemory) and not is_out_of_memory(error):
                raise
            return Tried(False, peak_bytes=peak_bytes())
    return Tried(True, statistics.median(report.seconds[WARM_UP_STEPS:]), peak_bytes(), allocated_bytes())


def device_facts() -> dict[str, object]:
    """The device that would train: cpu or cuda, its name, and the bytes that it has; of RAM those that are free."""
    if torch.cuda.is_available():
        facts = torch.cuda.get_device_properties()
        return {"device": "cuda", "name": facts.name, "memory_bytes": facts.total_memory}
    return {"device": "cpu", "name": "CPU", "memory_bytes": free_ram_bytes()}


def limit_memory(limit_bytes: float) -> None:
    """A GPU that has no more than this from now on; elsewhere whoever started the process looks after it."""
    if torch.cuda.is_available():
        total = torch.cuda.get_device_properties().total_memory
        torch.cuda.set_per_process_memory_fraction(min(1.0, max(0.0, limit_bytes - driver_bytes()) / total))


def peak_bytes() -> float:
    """The most memory so far: of the GPU what torch has reserved with what the driver takes, else of the process."""
    if torch.cuda.is_available():
        return float(torch.cuda.max_memory_reserved()) + driver_bytes()
    return float(peak_ram_bytes())


def allocated_bytes() -> float:
    """The most that tensors took on the GPU; 0 without one."""
    return float(torch.cuda.max_memory_allocated()) if torch.cuda.is_available() else 0.0


def driver_bytes() -> float:
    """What the GPU's memory lacks besides what torch has reserved: CUDA itself, and other programs."""
    free, total = torch.cuda.mem_get_info()
    return float(total - free - torch.cuda.memory_reserved())


def largest_pictures(data: TrainingData, length: LengthOptions) -> TrainingData:
    """Of pictures those of the largest size, as many as a step takes; a class of the user's own stays as it is."""
    if not isinstance(data, PictureData) or not data.images:
        return data
    sizes_px = [image.bucket_px for image in data.images]
    count = length.train_batch_size * length.gradient_accumulation_steps
    largest = max(sizes_px, key=lambda size_px: (size_px[0] * size_px[1], size_px))
    places = [place for place, size_px in enumerate(sizes_px) if size_px == largest][:count]
    pictures = [data.pictures[place] for place in places]
    # Its batches are full, however few there are.
    full = [replace(picture, repeats=-(-count // len(pictures))) for picture in pictures]
    return PictureData(data.datasets, full, finder=data.finder)


@contextmanager
def _with_few(narrow: Callable[[TrainingData, LengthOptions], TrainingData]) -> Iterator[None]:
    token = assembly.narrowing.set(narrow)
    try:
        yield
    finally:
        assembly.narrowing.reset(token)


def _nothing_kept(options: Any, folder: str) -> Any:
    """The same training, which never ends, writes no model, log or sample, and no cache beside pictures."""
    sizes, texts = options.resolution, options.text_cache
    kept = sizes.cache_latents or sizes.cache_latents_to_disk
    return dataclasses.replace(
        options,
        length=replace(options.length, max_train_steps=_NEVER, max_train_epochs=None),
        resolution=replace(sizes, cache_latents=kept, cache_latents_to_disk=False),
        text_cache=replace(texts, cache_text_encoder_outputs=texts.asked, cache_text_encoder_outputs_to_disk=False),
        saving=SavingOptions(output_dir=folder),
        state=StateOptions(),
        trouble=_as_tried(options.trouble),
        hub=HubOptions(),
        logging=LoggingOptions(),
        console=ConsoleOptions(),
        samples=SampleOptions(),
        validation=ValidationOptions(),
    )


def _as_tried(trouble: TroubleOptions) -> TroubleOptions:
    """A way that runs out of memory does not fit, however training would go on; and it has no states to go back to."""
    nonfinite = "stop" if trouble.on_nonfinite == "rollback" else trouble.on_nonfinite
    return TroubleOptions(on_oom="stop", on_nonfinite=nonfinite)
