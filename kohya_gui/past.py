"""What earlier runs on this machine tell of the next one: how fast it will be, and how much memory it takes."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from kohya_gui.runs.events import RunView
from kohya_gui.runs.store import RunStore
from kohya_gui.stages import Stage
from sd_scripts.options.spec import option_groups, option_specs

# Older runs are not looked at.
MOST_RUNS = 40

_PHASES = {"train": "train", "latents": "encode"}
_DESCRIBE = "describe"
_MANY_STEPS = 200

# What speed and memory hang on: of a training all options of these groups, and some of others.
_GROUPS = {"precision", "groups", "attention", "compilation", "zero", "average", "base", "text_cache"}
_OPTIONS = {
    "train": (
        "pretrained_model_name_or_path", "train_batch_size", "resolution", "optimizer_type", "use_8bit_adam",
        "use_lion_optimizer", "train_text_encoder", "gradient_accumulation_steps", "cache_latents",
        "cache_latents_to_disk", "in_json", "dataset_config", "train_data_dir", "max_token_length", "network_module",
        "network_dim", "network_args", "network_train_unet_only", "network_train_text_encoder_only",
        "ddp_gradient_as_bucket_view", "gpu_ids", "num_processes",
    ),
    "latents": ("model_name_or_path", "max_resolution", "batch_size", "mixed_precision", "flip_aug"),
    "caption_blip": ("caption_weights", "batch_size", "beam_search", "num_beams", "max_length"),
    "caption_git": ("model_id", "batch_size", "max_length"),
    "tag_wd14": ("repo_id", "batch_size"),
    "tag_deepdanbooru": ("project_path", "batch_size"),
}  # fmt: skip
"""{stage or tab: options}."""


@dataclass(frozen=True)
class Pace:
    """How long a step or picture takes, and what comes once, however many there are: loading, compiling, saving."""

    each_s: float
    once_s: float = 0.0

    def of(self, total: int) -> float:
        """Seconds of so many."""
        return self.once_s + total * self.each_s


@dataclass(frozen=True)
class Past:
    """A finished run. `differs`: the options that matter and were others then.

    `memory_bytes`: the most that it held on its GPU; of one without a GPU nothing but a moment is known.
    """

    name: str
    pace: "Pace"
    memory_bytes: float | None
    differs: tuple[str, ...]


def differing(stage: Stage, before: dict[str, Any], now: dict[str, Any]) -> tuple[str, ...]:
    """The options that speed and memory hang on and that differ; one that an older record lacks was its default."""
    specs = option_specs(stage.options)
    return tuple(flag for flag in _matters(stage) if before.get(flag, specs[flag].default) != now.get(flag))


def _matters(stage: Stage) -> list[str]:
    named = _OPTIONS.get(stage.id) or _OPTIONS.get(stage.tab, ())
    whole = _GROUPS if stage.trains else set()
    groups = option_groups(stage.options)
    return [spec.name for group in groups for spec in group.specs if group.name in whole or spec.name in named]


def nearest(store: RunStore, stage: Stage, values: dict[str, Any]) -> Past | None:
    """The finished run of a stage whose settings differ in the fewest options that matter; the newest of several."""
    return min(_finished(store, stage, values), key=lambda past: len(past.differs), default=None)


def _finished(store: RunStore, stage: Stage, values: dict[str, Any]) -> Iterator[Past]:
    if not _matters(stage):
        return
    for run_id in reversed(store.ids()[-MOST_RUNS:]):
        outcome = store.outcome(run_id)
        if outcome is None or outcome.state != "done" or (record := store.record(run_id)).stage != stage.id:
            continue
        phase = _PHASES.get(stage.tab, _DESCRIBE)
        pace, memory_bytes = _figures(store.events_path(run_id), phase, outcome.started)
        if pace:
            yield Past(record.name, pace, memory_bytes, differing(stage, record.values, values))


@lru_cache(maxsize=4 * MOST_RUNS)
def _figures(path: Path, phase: str, started: float | None) -> tuple[Pace | None, float | None]:
    """(its pace, most bytes on the GPU) of a run that has ended: they do not change any more."""
    view = RunView(path).update()
    return _pace(view, phase, started), view.last_figures.get("gpu_peak_bytes")


def _pace(view: RunView, phase: str, started: float | None) -> Pace | None:
    """The pace of a run, by its last steps: the first ones may have compiled the model for minutes."""
    took_s = [(one.name, max(0.0, (one.ended or view.last_time) - one.began)) for one in view.phases]
    worked_s = sum(span_s for name, span_s in took_s if name == phase)
    # What was downloaded is there.
    once_s = sum(span_s for name, span_s in took_s if name not in (phase, "download"))
    if started and view.phases:
        once_s += max(0.0, view.phases[0].began - started)
    rates = [one.rate_per_s for one in view.phases if one.name == phase and one.rate_per_s]
    step_s, steps = view.step_s(), len(view.points)
    if step_s is None:
        return Pace(1 / rates[-1], once_s) if rates else None
    # Samples and saves come again and again; what a few steps took besides says nothing of many.
    beside_s = max(0.0, worked_s - view.steps_s) / steps if steps >= _MANY_STEPS else 0.0
    return Pace(step_s + beside_s, once_s + max(0.0, view.steps_s - steps * step_s))
