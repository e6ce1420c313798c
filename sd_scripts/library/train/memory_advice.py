"""What to say when a training's memory runs out: the three settings that would free most of it, the most first.

How much each would free is what the formula of library/footprint says of the training with it and without it.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch

from sd_scripts.library.errors import OutOfMemory, UserError
from sd_scripts.library.footprint.model import model_of_modules
from sd_scripts.library.footprint.training import Setting, footprint
from sd_scripts.library.models.family import Family
from sd_scripts.library.report import Report, counted
from sd_scripts.library.shortage import is_out_of_memory, is_out_of_ram
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.expected_memory import setting_of
from sd_scripts.library.train.method import Method
from sd_scripts.library.train.team import launched
from sd_scripts.options.network import FrozenBaseOptions
from sd_scripts.options.optimizer import STATES
from sd_scripts.options.trainer import TrainerOptions

_GB = 1e9

Changes = Iterator[tuple[str, Setting]]
"""What to do, and what the training would be then."""


@dataclass(frozen=True)
class Remedy:
    """Settings to try, and how many bytes they would free."""

    words: str
    frees: float


def remedies(setting: Setting, options: TrainerOptions) -> list[Remedy]:
    """What is not yet done, with what would free most first."""
    now = footprint(setting).total
    changes = [*_of_pictures(setting, options), *_of_training(setting, options), *_of_the_rest(setting, options)]
    found = [Remedy(words, now - footprint(changed).total) for words, changed in changes]
    return sorted((remedy for remedy in found if remedy.frees > 0), key=lambda remedy: -remedy.frees)


@dataclass
class Shortage:
    """The place where a training's memory may run out."""

    options: TrainerOptions
    report: Report
    place: Place
    setting: Setting | None = None
    drawing: bool = False

    def measure(self, family: Family, method: Method, batch: int, sides_px: list[tuple[int, int]]) -> None:
        """Counts what there is, before it goes to the device."""
        model = model_of_modules(family.unet, family.text_encoders, family.vae)
        size_px = max(sides_px, key=lambda side_px: side_px[0] * side_px[1], default=(0, 0))
        setting = setting_of(self.options, model, size_px, batch, on_cpu=not torch.cuda.is_available())
        if not setting.whole:
            # Networks of other packages have sizes of their own.
            parameters = [p for module in method.trained().values() for p in module.parameters() if p.requires_grad]
            more = sum(parameter.numel() for parameter in parameters) - footprint(setting).numbers
            setting = replace(setting, others=setting.others + more)
        self.setting = setting

    def use_batches_of(self, pictures: int) -> None:
        """Batches pass in parts of so many pictures from now on."""
        if self.setting:
            self.setting = replace(self.setting, picture=replace(self.setting.picture, batch=pictures))

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
        if self.setting is None:
            return self._after, ["--gradient_checkpointing", "--train_batch_size 1", "a smaller --resolution"]
        words = [
            f"{one.words} (about {one.frees / _GB:.1f} GB)" if one.frees >= _GB / 20 else one.words
            for one in remedies(self.setting, self.options)
        ]
        return f"{self._after}, with batches of {self.setting.picture.batch}", words

    @property
    def _after(self) -> str:
        return f"after {counted(self.place.step, 'step')}"


def _of_pictures(setting: Setting, options: TrainerOptions) -> Changes:
    """What the backward pass keeps grows with pictures and batch."""
    picture, parts = setting.picture, options.length.gradient_accumulation_steps
    if not setting.recomputes:
        yield "--gradient_checkpointing", replace(setting, recomputes=True)
    if picture.batch > 1:
        adds_up = not _within_backward(options)
        more = f" with --gradient_accumulation_steps {parts * picture.batch}" if adds_up else ""
        single = replace(picture, batch=1)
        yield f"--train_batch_size 1{more}", replace(setting, picture=single, adds_up=setting.adds_up or adds_up)
    # Three quarters of each side.
    smaller = replace(picture, high=picture.high * 3 // 4, wide=picture.wide * 3 // 4)
    yield "a smaller --resolution", replace(setting, picture=smaller)
    if options.precision.mixed_precision == "no":
        held = setting if setting.whole else replace(setting, frozen_unet=2, frozen_text=2)
        yield "--mixed_precision bf16", replace(held, computed=2)


def _of_training(setting: Setting, options: TrainerOptions) -> Changes:
    """Gradients and the optimizer's memory grow with what is trained."""
    precision, each = options.precision, setting.weights
    remembered = STATES.get(setting.optimizer, 2) * (1 if setting.optimizer.endswith("8bit") else each)
    if remembered > STATES["AdamW8bit"]:
        yield "--optimizer_type AdamW8bit", replace(setting, optimizer="AdamW8bit")
    alone = launched().size == 1 and not options.zero.deepspeed
    if alone and not _within_backward(options) and _one_batch_a_step(options):
        yield "--fused_backward_pass", replace(setting, in_backward=True)
    if precision.mixed_precision == "bf16" and not precision.full_bf16 and not options.zero.deepspeed:
        held = replace(setting, frozen_unet=2, frozen_text=2) if setting.whole else setting
        yield "--full_bf16", replace(held, weights=2)


def _of_the_rest(setting: Setting, options: TrainerOptions) -> Changes:
    """What only lies there."""
    precision, base = options.precision, _base(options)
    if isinstance(base, FrozenBaseOptions):
        packed = precision.fp8_base or base.fp8_base_unet or base.base_bits
        if precision.mixed_precision != "no" and not packed:
            yield "--fp8_base", replace(setting, frozen_unet=1, frozen_text=1)
        if not all(setting.learning) and setting.idle_texts and not setting.on_cpu:
            yield "--cache_text_encoder_outputs", replace(setting, idle_texts=False)
    if setting.vae and not setting.on_cpu:
        yield "--cache_latents", replace(setting, vae=False)


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
