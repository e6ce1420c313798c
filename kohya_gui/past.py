"""What earlier runs on this machine tell of the next one: how fast it will be, and how much memory it takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kohya_gui.runs.events import RunView
from kohya_gui.runs.store import RunStore
from kohya_gui.stages import Stage

# Older runs are not looked at.
MOST_RUNS = 40

_PHASES = {"train": "train", "latents": "encode"}
_DESCRIBE = "describe"

MATTERS = {
    "train": (
        "pretrained_model_name_or_path", "train_batch_size", "resolution", "gradient_checkpointing", "mixed_precision",
        "optimizer_type", "train_text_encoder", "gradient_accumulation_steps", "full_fp16", "full_bf16", "fp8_base",
        "fused_backward_pass", "cache_latents", "cache_latents_to_disk", "deepspeed", "torch_compile", "in_json",
        "dataset_config", "train_data_dir", "network_module", "network_dim", "network_args", "network_train_unet_only",
        "fp8_base_unet", "cpu_offload_checkpointing", "cache_text_encoder_outputs", "fused_optimizer_groups", "gpu_ids",
        "num_processes",
    ),
    "latents": ("model_name_or_path", "max_resolution", "batch_size", "mixed_precision", "flip_aug"),
    "caption_blip": ("caption_weights", "batch_size", "beam_search", "num_beams", "max_length"),
    "caption_git": ("model_id", "batch_size", "max_length"),
    "tag_wd14": ("repo_id", "batch_size"),
    "tag_deepdanbooru": ("project_path", "batch_size"),
}  # fmt: skip
"""{stage or tab: the options that its speed and memory hang on}."""


@dataclass(frozen=True)
class Past:
    """A finished run. `differs`: the options that matter and were others then."""

    name: str
    rate_per_s: float
    memory_bytes: float | None
    differs: tuple[str, ...]


def nearest(store: RunStore, stage: Stage, values: dict[str, Any]) -> Past | None:
    """The finished run of a stage whose settings differ in the fewest options that matter; the newest of several."""
    return min(_finished(store, stage, values), key=lambda past: len(past.differs), default=None)


def _finished(store: RunStore, stage: Stage, values: dict[str, Any]) -> Iterator[Past]:
    matters = MATTERS.get(stage.id) or MATTERS.get(stage.tab)
    if matters is None:
        return
    for run_id in reversed(store.ids()[-MOST_RUNS:]):
        outcome = store.outcome(run_id)
        if outcome is None or outcome.state != "done" or (record := store.record(run_id)).stage != stage.id:
            continue
        rate_per_s, memory_bytes = _figures(store.events_path(run_id), _PHASES.get(stage.tab, _DESCRIBE))
        if rate_per_s:
            differs = tuple(flag for flag in matters if record.values.get(flag) != values.get(flag))
            # Without a GPU the figure is that of the whole process, at one moment.
            on_gpu = any(device.startswith("gpu") for device in record.devices)
            yield Past(record.name, rate_per_s, memory_bytes if on_gpu else None, differs)


@lru_cache(maxsize=4 * MOST_RUNS)
def _figures(path: Path, phase: str) -> tuple[float | None, float | None]:
    """(items or steps per second, most bytes on the GPU) of a run that has ended: they do not change any more."""
    view = RunView(path).update()
    rates = [one.rate_per_s for one in view.phases if one.name == phase and one.rate_per_s]
    return (rates[-1] if rates else None), view.last_figures.get("memory_bytes")
