"""Trainings whose steps are taken one by one on batches that lie ready: what they take, hold and come to."""

import gc
import io
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

# Before torch is loaded: its profiler would tell of itself.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")

import torch

from benchmarks.models import LOADERS, OPTIONS, Family, Size, Way, model_in
from benchmarks.rows import Given
from benchmarks.tensors import most_and_last
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.report import Report
from sd_scripts.library.train.batches import Batch
from sd_scripts.library.train.checks.here import check_here
from sd_scripts.library.train.compiling import compile_modules
from sd_scripts.library.train.device import make_accelerator, prepare_modules
from sd_scripts.library.train.full import FullFineTune
from sd_scripts.library.train.learner import Learner
from sd_scripts.library.train.network_method import NetworkMethod
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.spec import from_values

SEED = 1
UNITS = {"cpu": "CPU s", "cuda": "s"}
"""Of a step's time."""


@dataclass(frozen=True)
class Plan:
    """What is trained, and how: `values` are options of the script. `sizes_px`: of the batches, in turn."""

    family: Family
    way: Way
    size: Size
    sizes_px: tuple[tuple[int, int], ...]
    values: tuple[tuple[str, Any], ...] = ()
    keep_texts: bool = True


class Training:
    """A training with its model, whose `step` is that of the trainer (train/learner.py)."""

    def __init__(self, plan: Plan, given: Given) -> None:
        model = model_in(given.room, plan.family, plan.size)
        options = _options(plan, given, model)
        check_here(options)
        report = Report(out=io.StringIO())
        self._accelerator = make_accelerator(options)
        self._family = LOADERS[plan.family](str(model), report=report)
        method: Any = FullFineTune(options.method) if plan.way == "full" else NetworkMethod(options, report)
        method.prepare(self._family, SEED)
        prepare_modules(self._family, options.precision, options.attention, method.holding, self._accelerator.device)
        texts = Texts(self._family, TextSettings(1, 75), self._accelerator, False, plan.keep_texts)
        if options.compilation.torch_compile:
            compile_modules([self._family.unet], options.compilation)
        self._learner = Learner(self._family, method, texts, options, self._accelerator, SEED)
        self._method, self._plan, self._step = method, plan, 0
        self.losses: list[float] = []
        """Those of all steps so far."""

    def step(self) -> float:
        """The next step; seconds. On a CPU those of all cores: others that work there do not count."""
        batch = self._batch(self._step)
        clock = time.perf_counter if self._accelerator.device.type == "cuda" else time.process_time
        self._wait()
        began = clock()
        outcome = self._learner.step([batch], self._step, lambda step: 1.0)
        self._wait()
        took_s = clock() - began
        self._step += 1
        self.losses.append(float(outcome.loss))
        return took_s

    def peak_bytes(self) -> int:
        """The most memory that tensors take in one more step of the first size, with weights and optimizer."""
        self._step -= self._step % len(self._plan.sizes_px)
        if self._accelerator.device.type == "cuda":
            self._wait()
            torch.cuda.reset_peak_memory_stats()
            before = torch.cuda.memory_allocated()
            self.step()
            return self._held_bytes() + torch.cuda.max_memory_allocated() - before
        return self._held_bytes() + _peak_on_cpu(self.step)

    def _held_bytes(self) -> int:
        modules = [self._family.unet, *self._family.text_encoders.values(), *self._method.trained().values()]
        tensors = [tensor for module in modules for tensor in (*module.parameters(), *module.buffers())]
        for memory in self._learner.optimizer.state.values():
            tensors += [value for value in memory.values() if isinstance(value, torch.Tensor)]
        return sum({one.data_ptr(): one.numel() * one.element_size() for one in tensors}.values())

    def _batch(self, step: int) -> Batch:
        height_px, width_px = self._plan.sizes_px[step % len(self._plan.sizes_px)]
        drawn = torch.Generator().manual_seed(1000 * SEED + step)
        device = self._accelerator.device
        latents_BCHW, noise_BCHW = torch.randn(2, 1, 4, height_px // 8, width_px // 8, generator=drawn).to(device)
        timesteps_B = torch.randint(0, 1000, (1,), generator=drawn).to(device)
        sizes_B6 = torch.tensor([[height_px, width_px, 0, 0, height_px, width_px]], device=device)
        weights_B = torch.ones(1, device=device)
        caption = "a red cat on a table in the light of a lamp, with a book"
        return Batch(
            latents_BCHW, noise_BCHW, noise_BCHW, timesteps_B, weights_B, sizes_B6, [caption], images=[0], count=1
        )

    def _wait(self) -> None:
        if self._accelerator.device.type == "cuda":
            torch.cuda.synchronize()


def begin_anew() -> None:
    """Frees what earlier trainings held, and lets the next one have another number format."""
    from accelerate.state import AcceleratorState

    AcceleratorState._reset_state(True)
    torch._dynamo.reset()
    torch._dynamo.utils.counters.clear()
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _options(plan: Plan, given: Given, model: Path) -> Any:
    metadata = given.room / "meta.json"
    metadata.write_text('{"a": {"caption": "a"}}', encoding="utf-8")
    lora = {"network_module": "networks.lora", "network_dim": 16, "network_train_unet_only": True}
    values = {
        "pretrained_model_name_or_path": str(model),
        "in_json": str(metadata),
        "train_data_dir": str(given.room),
        "seed": SEED,
        "learning_rate": 1e-5,
        "mixed_precision": "bf16" if given.device == "cuda" else "no",
        **(lora if plan.way == "lora" else {}),
        **dict(plan.values),
    }
    return from_values(OPTIONS[plan.family, plan.way], values)


def _peak_on_cpu(step: Callable[[], object]) -> int:
    """The most bytes that are asked for and not yet given back while a step is taken."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        step()
    return most_and_last(profile)[0]


def differences(losses: Sequence[float], others: Sequence[float]) -> tuple[float, float]:
    """(largest, mean) of how far losses are apart, as shares of the others."""
    apart = [abs(one - other) / abs(other) for one, other in zip(losses, others, strict=True)]
    return max(apart), sum(apart) / len(apart)
