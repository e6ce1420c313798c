"""How fast models and states are saved, beside a plain write of the same bytes: `python -m benchmarks.saving --help`.

The plain write takes the very bytes of the saved file from memory, flushes them to the disk and renames the file. Ours
also converts numbers, checks that the file reads back and tells its SHA-256. `--room` names a folder on the disk to be
measured.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.alternating import alternating
from benchmarks.models import LOADERS, make_model
from benchmarks.rows import Given, Goal, Row, at_least, stage
from sd_scripts.library.io.drafts import Draft, Held, HeldValue, tensors_in
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.report import Report
from sd_scripts.library.train import state
from sd_scripts.library.train.saving import is_whole, remove
from sd_scripts.library.train.state_facts import Facts

PIECE_BYTES = 1 << 22
_FACTS = Facts(step=1, epoch=0, window=0, seed=0, plan="", method="full", family="sd1", optimizer="AdamW")


def measure(given: Given) -> list[Row]:
    """Whole models as they are trained, in half the bytes of that, and as .ckpt; a state; and the pause of training."""
    families = ("sd1",) if given.quick or given.device == "cpu" else ("sd1", "sdxl")
    rows = []
    for name in families:
        model = _model(name, given)
        for what, request in _requests(_place(given.room)):
            # How a .ckpt is written is torch's.
            goal = at_least(0.8) if request.format == "safetensors" else None
            rows.append(_row(f"{name}, {what}", model.draft(request), given, goal))
        rows += [*_waits(name, model, given), *_of_state(name, model, given)]
    return rows


def _model(name: str, given: Given) -> Family:
    base = make_model(given.room / "base.safetensors", name, "tiny" if given.quick else "true", torch.float16)
    # Not mapped into memory: a training's weights are not.
    model: Family = LOADERS[name](str(base))
    for module in (model.unet, *model.text_encoders.values(), model.vae):
        for parameter in module.parameters():
            parameter.data = parameter.data.to(given.device, copy=True)
    base.unlink()
    return model


def _place(room: Path) -> Path:
    """Where models and states are saved."""
    return room / "saved"


def _requests(place: Path) -> list[tuple[str, SaveRequest]]:
    return [
        ("fp16 as trained, .safetensors", SaveRequest(place, "safetensors")),
        ("fp16 as bf16, .safetensors", SaveRequest(place, "safetensors", torch.bfloat16)),
        ("fp16 as trained, .ckpt", SaveRequest(place, "ckpt")),
    ]


def _of_state(name: str, model: Family, given: Given) -> list[Row]:
    """The state of AdamW over the U-Net: its weights and two numbers for each."""
    optimizer = torch.optim.AdamW(model.unet.parameters())
    for parameter in model.unet.parameters():
        held = {"exp_avg": parameter.detach().clone(), "exp_avg_sq": parameter.detach().clone()}
        optimizer.state[parameter] = {"step": torch.tensor(1.0), **held}
    contents = state.Contents({"unet": model.unet}, optimizer)
    return [_row(f"{name}, state with AdamW", state.draft(_FACTS, contents), given)]


def _waits(name: str, model: Family, given: Given) -> list[Row]:
    """How long training stands still for a model: for its copy, where it is written aside, or for all of it."""
    request = SaveRequest(_place(given.room), "safetensors")

    def copied_s() -> float:
        began = time.perf_counter()
        model.draft(request).keep()
        return time.perf_counter() - began

    aside_s, at_once_s, ratio = alternating(copied_s, lambda: saved_s(model.draft(request), given.room), given.rounds)
    what = f"{name}, training waits: written aside, and at once"
    return [Row(what, "s", aside_s, at_once_s, note="the copy, and the whole writing", measured_ratio=ratio)]


def _row(what: str, draft: Draft, given: Given, goal: Goal | None = None) -> Row:
    ours, bare = partial(saved_s, draft, given.room), partial(plain_s, bytes_of(draft), given.room / "plain")
    size_mb = draft.size_bytes / 1e6
    ours_s, bare_s, ratio = alternating(ours, bare, given.rounds)
    return Row(what, "MB/s", size_mb / ours_s, size_mb / bare_s, goal, f"{size_mb / 1000:.2f} GB", 1 / ratio)


def saved_s(draft: Draft, room: Path) -> float:
    """Seconds of saving as trainers do."""
    settle()
    began = time.perf_counter()
    saved = draft.write(_place(room))
    assert is_whole(saved.path)
    Report().saved(saved.path, "model", sha256=saved.sha256)
    took_s = time.perf_counter() - began
    remove(saved.path)
    return took_s


def plain_s(parts: list[memoryview], path: Path) -> float:
    """Seconds of a plain write of bytes that lie in memory, flushed and renamed."""
    settle()
    began = time.perf_counter()
    beside = path.with_suffix(".part")
    with open(beside, "wb", buffering=0) as file:
        for part in parts:
            for begin in range(0, len(part), PIECE_BYTES):
                file.write(part[begin : begin + PIECE_BYTES])
        os.fsync(file.fileno())
    os.replace(beside, path)
    took_s = time.perf_counter() - began
    remove(path)
    return took_s


def bytes_of(draft: Draft) -> list[memoryview]:
    """The bytes that a draft writes, each tensor's by itself."""
    tensors: list[torch.Tensor] = []
    for part in draft.parts:
        if isinstance(part, Held):
            tensors += part.converted().values()
        elif isinstance(part, HeldValue):
            tensors += tensors_in(part.value)
    flat = (tensor.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy() for tensor in tensors)
    return [memoryview(one) for one in flat]


def settle() -> None:
    """What was written before does not slow down what follows."""
    sync: Callable[[], None] = getattr(os, "sync", lambda: None)
    sync()


if __name__ == "__main__":
    sys.exit(stage(measure, __doc__))
