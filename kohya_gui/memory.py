"""The memory that a training takes: the program's own formula, asked with what stands in the form. Needs no torch."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kohya_gui import devices, found
from kohya_gui.counted import counted
from kohya_gui.draft import Draft, once
from kohya_gui.launching import gpus_named, processes
from kohya_gui.program_rules import in_reach
from sd_scripts.library.data.buckets import Size, parse_resolution
from sd_scripts.library.errors import UserError
from sd_scripts.library.footprint.model import model_of
from sd_scripts.library.footprint.training import Footprint, Model
from sd_scripts.library.train.expected_memory import PROCESS_BYTES, expected
from sd_scripts.options.spec import from_values

_USUAL_PX = {"sd": 512, "sdxl": 1024}


@dataclass(frozen=True)
class Memory:
    """What a process of a training takes: its tensors by kind, and what it takes besides (`process`); `size_px`: of the
    largest pictures. `processes`: so many share one memory, and each holds all of it; GPUs have memories of their own.
    """

    footprint: Footprint
    process: float
    size_px: Size
    processes: int = 1

    @property
    def each(self) -> float:
        """What one of them takes."""
        return self.footprint.total + self.process

    @property
    def total(self) -> float:
        """All of it."""
        return self.each * self.processes


def optimizer_of(draft: Draft) -> str:
    """The optimizer by its name."""
    older = {"use_8bit_adam": "AdamW8bit", "use_lion_optimizer": "Lion"}
    return draft.get("optimizer_type") or next((name for flag, name in older.items() if draft.get(flag)), "AdamW")


@once
def memory_of(draft: Draft) -> Memory | None:
    """What the training takes on its device; None where the model is not known, or is divided up."""
    return _memory(draft, largest_px)


def memory_if(draft: Draft, changes: dict[str, Any]) -> Memory | None:
    """What it would take with other values; of pictures as large as they are now, so that none is counted again."""
    known = memory_of(draft)
    return _memory(replace(draft, values=draft.values | changes), lambda _: known.size_px) if known else None


def _memory(draft: Draft, largest: Callable[[Draft], Size]) -> Memory | None:
    name = draft.path("pretrained_model_name_or_path")
    model = _model_at(name) if name and name.exists() else None
    if model is None or draft.get("deepspeed"):
        return None
    on_cpu, size_px = not gpus_of(draft), largest(draft)
    options = from_values(draft.stage.options, in_reach(draft))
    try:
        footprint = expected(options, model, size_px, draft.get("train_batch_size") or 1, on_cpu)
    except UserError:
        return None
    return Memory(footprint, PROCESS_BYTES if on_cpu else 0, size_px, processes_here(draft) if on_cpu else 1)


def gpus_of(draft: Draft) -> list[devices.Gpu]:
    """The GPUs of this machine that a training takes, one for each of its processes; none where the processor trains.

    Those that it names, else the first that it sees.
    """
    there = devices.gpus()
    named = gpus_named(draft.get("gpu_ids"))
    if not there or (not named and devices.names() == ["cpu"]):
        return []
    numbers = named or gpus_named(",".join(name.removeprefix("gpu:") for name in devices.names()))
    # A driver may know them by other names than numbers.
    taken = [there[number] for number in numbers if number < len(there)] or there
    return taken[: processes_here(draft)]


def processes_here(draft: Draft) -> int:
    """How many processes of a training run on this machine."""
    return max(1, processes(draft.values) // draft.get("num_machines"))


def largest_px(draft: Draft) -> Size:
    """The size of the largest pictures that will be trained; before that is known, the one that is asked for."""
    data = counted(draft)
    sizes_px = [bucket.size_px for bucket in data.buckets if bucket.size_px] if data else []
    if sizes_px:
        return max(sizes_px, key=lambda size_px: size_px[0] * size_px[1])
    try:
        return parse_resolution(draft.get("resolution") or "", "resolution")
    except UserError:
        side_px = _USUAL_PX[draft.stage.family or "sd"]
        return side_px, side_px


def state_bytes(draft: Draft) -> float | None:
    """How large a saved state of a whole model is: the trained weights, and what the optimizer remembers; None where
    not known."""
    memory = memory_of(draft) if draft.stage.saves_whole_models else None
    if memory is None or memory.footprint.optimizer is None:
        return None
    return memory.footprint.trained + memory.footprint.optimizer


def _look(path: Path) -> Model | None:
    try:
        return model_of(path)
    except (UserError, OSError, ValueError, KeyError):
        return None


_model_at = found.by_time(_look)
