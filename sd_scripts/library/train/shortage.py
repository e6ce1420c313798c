"""What to say when a training's memory runs out: the three settings that would free most of it, the most first.

How much each would free is estimated from what is trained and looked at. A whole model has its optimizer's memory and
its gradients, several times the weights; beside a frozen model what counts is what the backward pass keeps.
"""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from sd_scripts.library.errors import OutOfMemory, UserError
from sd_scripts.library.models.family import Family
from sd_scripts.library.report import Report, counted
from sd_scripts.library.shortage import is_out_of_memory, is_out_of_ram
from sd_scripts.library.team import launched
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.options.network import FrozenBaseOptions
from sd_scripts.options.optimizer import STATES
from sd_scripts.options.trainer import TrainerOptions

KEPT_BYTES: dict[str, tuple[int, int]] = {"sd1": (445 << 10, 74 << 10), "sdxl": (820 << 10, 70 << 10)}
"""{family: (plain, with gradient checkpointing)}: what the U-Net keeps in float32 for the backward pass, for each place
of a picture's latents. Counted with saved_tensors_hooks over the U-Nets of SD 1.5 (64 x 64 and 96 x 96) and SDXL
(128 x 128) with fused attention; SD 2 is as SD 1."""

_GB = 1e9


@dataclass(frozen=True)
class Load:
    """What lies in the device's memory: numbers that are trained and frozen, and of the text encoders those that are
    frozen; the VAE's; the places of the largest picture's latents; the pictures of a batch."""

    family: str = "sd1"
    trained: int = 0
    frozen: int = 0
    frozen_text: int = 0
    vae: int = 0
    places: int = 0
    batch: int = 1


@dataclass(frozen=True)
class Remedy:
    """Settings to try, and how many bytes they would free."""

    words: str
    frees: float


def remedies(load: Load, options: TrainerOptions) -> list[Remedy]:
    """What is not yet done, with what would free most first."""
    found = [*_of_pictures(load, options), *_of_training(load, options), *_of_the_rest(load, options)]
    return sorted(found, key=lambda remedy: -remedy.frees)


@dataclass
class Shortage:
    """The place where a training's memory may run out."""

    options: TrainerOptions
    report: Report
    place: Place
    load: Load = field(default_factory=Load)
    drawing: bool = False

    def measure(self, family: Family, method: Method, batch: int, sides_px: list[tuple[int, int]]) -> None:
        """Counts what there is, before it goes to the device."""
        texts = family.text_encoders.values()
        trained = [p for module in method.trained().values() for p in module.parameters() if p.requires_grad]
        own = {id(parameter) for parameter in trained}
        places = max((width * height // 64 for width, height in sides_px), default=0)
        self.load = Load(
            family=family.name,
            trained=sum(parameter.numel() for parameter in trained),
            frozen=_others([family.unet, *texts], own),
            frozen_text=_others(texts, own),
            vae=_others([family.vae], own),
            places=places,
            batch=batch,
        )

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Turns running out of memory into a sentence with the settings that help most. Errors: OutOfMemory."""
        try:
            yield
        except UserError:
            raise
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise OutOfMemory(self.sentence(error)) from error

    @contextmanager
    def while_drawing(self) -> Iterator[None]:
        """Meanwhile it is samples that memory is needed for."""
        self.drawing = True
        yield
        self.drawing = False

    def sentence(self, error: BaseException) -> str:
        """Where it ran out, and what helps most there."""
        where, words = self._scene(is_out_of_ram(error) and torch.cuda.is_available())
        return f"Memory ran out {where}. What helps most: {', '.join(words[:3])}."

    def _scene(self, of_ram: bool) -> tuple[str, list[str]]:
        if of_ram:
            return f"in the machine's RAM, {self._after}", _for_ram(self.options)
        if self.drawing:
            return f"while samples were drawn, {self._after}", _for_samples(self.options)
        if self.report.phase_name == "cache_latents":
            return "while latents were made", _for_latents(self.options)
        words = [
            f"{one.words} (about {one.frees / _GB:.1f} GB)" if one.frees >= _GB / 20 else one.words
            for one in remedies(self.load, self.options)
        ]
        return f"{self._after}, with batches of {self.load.batch}", words

    @property
    def _after(self) -> str:
        return f"after {counted(self.place.step, 'step')}"


def _of_pictures(load: Load, options: TrainerOptions) -> Iterator[Remedy]:
    """What the backward pass keeps grows with pictures and batch."""
    precision, length = options.precision, options.length
    half = 0.5 if precision.mixed_precision != "no" else 1.0
    plain, recomputed = (load.places * each * half for each in KEPT_BYTES.get(load.family, KEPT_BYTES["sd1"]))
    kept = recomputed if precision.gradient_checkpointing else plain
    if not precision.gradient_checkpointing:
        yield Remedy("--gradient_checkpointing", (plain - recomputed) * load.batch)
    if load.batch > 1:
        more = f" with --gradient_accumulation_steps {length.gradient_accumulation_steps * load.batch}"
        words = "--train_batch_size 1" + ("" if _within_backward(options) else more)
        yield Remedy(words, kept * (load.batch - 1))
    # Three quarters of each side.
    yield Remedy("a smaller --resolution", kept * load.batch * (1 - 0.75**2))
    if precision.mixed_precision == "no":
        frozen = load.frozen * 2 if isinstance(_base(options), FrozenBaseOptions) else 0
        yield Remedy("--mixed_precision bf16", kept * load.batch / 2 + frozen)


def _of_training(load: Load, options: TrainerOptions) -> Iterator[Remedy]:
    """Gradients and the optimizer's memory grow with what is trained."""
    precision, name = options.precision, optimizer_name(options.optimizer)
    each = 2 if precision.full_fp16 or precision.full_bf16 else 4
    remembered = STATES.get(name, 2) * (1 if name.endswith("8bit") else each)
    if (more := remembered - STATES["AdamW8bit"]) > 0:
        yield Remedy("--optimizer_type AdamW8bit", load.trained * more)
    alone = launched().size == 1 and not options.zero.deepspeed
    if alone and not _within_backward(options) and _one_batch_a_step(options):
        yield Remedy("--fused_backward_pass", load.trained * each)
    if precision.mixed_precision == "bf16" and not precision.full_bf16 and not options.zero.deepspeed:
        yield Remedy("--full_bf16", load.trained * (4 + 4 + remembered) / 2)


def _of_the_rest(load: Load, options: TrainerOptions) -> Iterator[Remedy]:
    """What only lies there."""
    precision, base = options.precision, _base(options)
    held = 2 if precision.mixed_precision != "no" else 4
    if isinstance(base, FrozenBaseOptions):
        packed = precision.fp8_base or base.fp8_base_unet or base.base_bits
        if held == 2 and not packed:
            yield Remedy("--fp8_base", load.frozen * (held - 1))
        if load.frozen_text and not options.text_cache.asked:
            yield Remedy("--cache_text_encoder_outputs", load.frozen_text * held)
    if not (options.resolution.cache_latents or options.resolution.cache_latents_to_disk):
        yield Remedy("--cache_latents", load.vae * 4)


def _for_ram(options: TrainerOptions) -> list[str]:
    """Of the machine's own memory readers take most, each with pictures of its own; then latents; then the model."""
    resolution = options.resolution
    ways = {
        "--max_data_loader_n_workers 0": bool(options.data.max_data_loader_n_workers),
        "--cache_latents_to_disk": resolution.cache_latents and not resolution.cache_latents_to_disk,
        "--lowram": not options.precision.lowram and not options.precision.highvram,
        "no --ema_on_cpu": options.average.ema_on_cpu,
        "other programs closed": True,
        "a smaller --train_batch_size": options.length.train_batch_size > 1,
        "more swap space": True,
    }
    return [words for words, open_ in ways.items() if open_]


def _for_samples(options: TrainerOptions) -> list[str]:
    """Pictures that are drawn take memory by their size alone: one is drawn at a time."""
    ways = {
        "smaller --w and --h in the sample prompts": True,
        "--mixed_precision bf16": options.precision.mixed_precision == "no",
        "no --no_half_vae": options.model.no_half_vae and options.precision.mixed_precision != "no",
        "no --highvram": options.precision.highvram,
        "no samples (leave --sample_every_n_steps and --sample_every_n_epochs out)": True,
        "the samples drawn afterwards with gen_img.py": True,
    }
    return [words for words, open_ in ways.items() if open_]


def _for_latents(options: TrainerOptions) -> list[str]:
    """The VAE's memory grows with the pictures that it sees at once, and their size."""
    ways = {
        "--vae_batch_size 1": options.resolution.vae_batch_size > 1,
        "--mixed_precision bf16": options.precision.mixed_precision == "no",
        "no --no_half_vae": options.model.no_half_vae and options.precision.mixed_precision != "no",
        "a smaller --resolution": True,
        "other programs on the device closed": True,
        "the latents made beforehand with tools/cache_latents.py": True,
    }
    return [words for words, open_ in ways.items() if open_]


def _base(options: TrainerOptions) -> Any:
    """How the frozen model is held, where one is frozen."""
    return getattr(options, "base", None)


def _within_backward(options: TrainerOptions) -> bool:
    return options.precision.fused_backward_pass or bool(options.groups.portions)


def _one_batch_a_step(options: TrainerOptions) -> bool:
    return options.length.gradient_accumulation_steps == 1 and options.precision.mixed_precision != "fp16"


def _others(modules: Any, own: set[int]) -> int:
    """The numbers in these modules that are not trained."""
    return sum(math.prod(p.shape) for module in modules for p in module.parameters() if id(p) not in own)
