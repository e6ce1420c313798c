"""How fast models and states are saved, beside a plain write of the same bytes: `python -m benchmarks.saving --help`.

The plain write takes the very bytes of the saved file from memory, flushes them to the disk and renames the file. Ours
also converts numbers, checks that the file reads back and tells its SHA-256. `--room` names a folder on the disk that is
to be measured.
"""

import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch

from benchmarks.alternating import alternating
from benchmarks.models import make_model
from benchmarks.rows import Given, Row, at_least, stage
from sd_scripts.library.io.drafts import Draft
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.family import Family, SaveRequest
from sd_scripts.library.report import Report
from sd_scripts.library.train import state
from sd_scripts.library.train.saving import is_whole
from sd_scripts.library.train.state_facts import Facts

LOADERS = {"sd1": sd.load, "sdxl": sdxl.load}
PIECE_BYTES = 1 << 22


def measure(given: Given) -> list[Row]:
    """Whole models as they are trained, in half the bytes of that, and as .ckpt; a state; and the pause of training."""
    # As in a training; the plain write computes nothing.
    torch.set_num_threads(os.cpu_count() or 1)
    families = ("sd1",) if given.quick or given.device == "cpu" else ("sd1", "sdxl")
    rows = []
    for name in families:
        model = _model(name, given)
        for what, request in _requests(given.room):
            rows.append(_row(f"{name}, {what}", model.draft(request), given))
        rows += _of_state(name, model, given)
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


def _requests(room: Path) -> list[tuple[str, SaveRequest]]:
    place = room / "saved"
    return [
        ("fp16 as trained, .safetensors", SaveRequest(place, "safetensors")),
        ("fp16 as bf16, .safetensors", SaveRequest(place, "safetensors", torch.bfloat16)),
        ("fp16 as trained, .ckpt", SaveRequest(place, "ckpt")),
    ]


def _of_state(name: str, model: Family, given: Given) -> list[Row]:
    """The state of AdamW over the U-Net: its weights and two numbers for each."""
    optimizer = torch.optim.AdamW(model.unet.parameters())
    for parameter in model.unet.parameters():
        held = {"exp_avg": torch.zeros_like(parameter), "exp_avg_sq": torch.zeros_like(parameter)}
        optimizer.state[parameter] = {"step": torch.tensor(1.0), **held}
    contents = state.Contents({"unet": model.unet}, optimizer)
    return [_row(f"{name}, state with AdamW", state.draft(_FACTS, contents), given)]


def _row(what: str, draft: Draft, given: Given) -> Row:
    ours, bare = partial(saved_s, draft, given.room), partial(plain_s, draft, given.room / "plain")
    size_bytes = draft.size_bytes
    ours_s, bare_s, ratio = alternating(ours, bare, given.rounds)
    rate = partial(lambda seconds: size_bytes / 1e6 / seconds)
    return Row(what, "MB/s", rate(ours_s), rate(bare_s), at_least(0.8), f"{size_bytes / 1e9:.2f} GB", 1 / ratio)
