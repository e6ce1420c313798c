"""Trainings to be measured, put together as the scripts do it, and the bare loop on the same model."""

import gc
import io
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from benchmarks.models import LOADERS, OPTIONS, Family, Size, Way, model_in, named
from benchmarks.photographs import noise_pictures
from benchmarks.rows import Given
from sd_scripts.library.asked import Asked
from sd_scripts.library.data.read_dataset import open_data
from sd_scripts.library.data.training_data import Moment
from sd_scripts.library.events import Requests
from sd_scripts.library.models.vae import vae_hash
from sd_scripts.library.report import Report
from sd_scripts.library.train.batches import Batch
from sd_scripts.library.train.feed import Loaded
from sd_scripts.library.train.full import FullFineTune
from sd_scripts.library.train.network_method import NetworkMethod
from sd_scripts.library.train.noise import Draw
from sd_scripts.library.train.precision import encoding_precision
from sd_scripts.library.train.trainer import Trainer
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_db import TrainDbOptions

Texts = Literal["kept", "frozen", "trained"]
Step = Callable[[], object]

SCRIPTS: dict[tuple[Family, Way], Any] = OPTIONS | {("sd1", "full"): TrainDbOptions}
"""Captions lie beside the pictures: of whole SD1.5 models train_db.py takes those, and fine_tune.py does not."""
PICTURES, PICTURE_PX = 8, 1024
SIDES_PX: dict[tuple[Family, Size], int] = {
    ("sd1", "tiny"): 64, ("sd1", "reduced"): 128, ("sd1", "true"): 512,
    ("sdxl", "tiny"): 64, ("sdxl", "reduced"): 128, ("sdxl", "true"): 1024,
}  # fmt: skip
STEPS = 1_000_000
"""More than are taken: training never ends by itself."""
WARM_STEPS = 2
EVENTS = "events.jsonl"


@dataclass(frozen=True)
class Case:
    """What is trained. `texts`: what encoders make of captions is kept, made in each step, or they are trained too.
    `pictures`: they are read and encoded in each step; else their latents are kept."""

    family: Family
    way: Way
    texts: Texts = "kept"
    pictures: bool = False
    size: Size = "reduced"

    def __str__(self) -> str:
        texts = {"kept": "texts kept", "frozen": "texts encoded", "trained": "text encoders trained"}[self.texts]
        model = named(self.family, self.size)
        return f"{model}, {self.way}, {'pictures' if self.pictures else 'latents kept'}, {texts}"

    @property
    def side_px(self) -> int:
        """The side of its pictures as they are trained."""
        return SIDES_PX[self.family, self.size]

    def values(self) -> dict[str, Any]:
        """The options that make it so."""
        frozen = self.texts != "trained"
        by_script: dict[tuple[Family, Way], dict[str, Any]] = {
            ("sd1", "full"): {"stop_text_encoder_training": -1} if frozen else {},
            ("sdxl", "full"): {"train_text_encoder": not frozen},
        }
        lora = {"network_module": "networks.lora", "network_dim": 16, "network_train_unet_only": frozen}
        return {
            "cache_latents": not self.pictures,
            "cache_text_encoder_outputs": self.texts == "kept",
            # Captions that change are encoded anew each time.
            "shuffle_caption": self.texts == "frozen",
            "gradient_checkpointing": self.size == "true" and self.family == "sdxl",
            **by_script.get((self.family, self.way), lora),
        }


def make_pictures(room: Path) -> Path:
    """A folder of JPEG files with captions; the folder in which it lies."""
    folder = room / "pictures" / "1000_thing"
    if not folder.exists():
        for picture in noise_pictures(folder, PICTURES, PICTURE_PX, ".jpg", grain_px=4):
            text = f"a thing, number {picture.stem}, on a table, in the light of a lamp"
            picture.with_suffix(".txt").write_text(text)
    return folder.parent


def make_trainer(case: Case, given: Given, **values: Any) -> Trainer:
    """A training as its script puts it together, with files of events and requests, as the page has them."""
    room = given.room
    model = model_in(room, case.family, case.size)
    (room / "control.jsonl").touch()
    asked = Asked(Requests(room / "control.jsonl"))
    report = Report(room / EVENTS, asked, out=io.StringIO())
    options = from_values(SCRIPTS[case.family, case.way], {
        "pretrained_model_name_or_path": str(model),
        "train_data_dir": str(make_pictures(room)),
        "resolution": str(case.side_px),
        "caption_extension": ".txt",
        "output_dir": str(room / "out"),
        "max_train_steps": STEPS,
        "seed": 1,
        "learning_rate": 1e-5,
        "mixed_precision": "bf16" if given.device == "cuda" else "no",
        **case.values(),
        **values,
    })  # fmt: skip
    family = LOADERS[case.family](str(model), report=report)
    data = open_data(options, report, vae_hash(family.vae), family.latents_suffix, encoding_precision(options))
    if case.way == "full":
        return Trainer(family, FullFineTune(options.method), data, options, report)
    return Trainer(family, NetworkMethod(options, report), data, options, report, options.start)


class Bare:
    """Forward, backward, clipping, the optimizer's step and zero_grad, on tensors that lie ready on the device.

    The model, its parameters and the optimizer are those of the training: one copy, of which the two take steps in
    turn. Texts are encoded in it where the training does so, from tokens that lie ready.
    """

    def __init__(self, trainer: Trainer, texts: Texts) -> None:
        batch = ready_batch(trainer)
        self._family, self._device = trainer.family, trainer.accelerator.device
        self._timesteps_B, self._sizes_B6 = batch.timesteps_B, batch.sizes_B6
        self._noisy_BCHW = self._family.add_noise(batch.latents_BCHW, batch.input_noise_BCHW, batch.timesteps_B)
        self._target_BCHW = self._family.target(batch.latents_BCHW, batch.noise_BCHW, batch.timesteps_B)
        self._settings, self._texts = trainer.texts.settings, texts
        tokens = self._family.tokenize(batch.captions, self._settings)
        self._tokens = {name: tensor.to(self._device) for name, tensor in tokens.items()}
        self._conditions = trainer.texts.encode(batch.captions) if texts == "kept" else {}
        self._optimizer: Any = trainer.learner.optimizer
        self._parameters = [one for group in self._optimizer.param_groups for one in group["params"]]
        self._half = trainer.accelerator.mixed_precision == "bf16"

    def step(self) -> None:
        """One step."""
        self.loss().backward()
        torch.nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._optimizer.step()
        self._optimizer.zero_grad()

    def loss(self) -> torch.Tensor:
        """The loss of its batch."""
        with torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            conditions = self._encoded()
            predicted_BCHW = self._family.predict(
                self._noisy_BCHW, self._timesteps_B, {**conditions, "sizes_B6": self._sizes_B6}
            )
        return torch.nn.functional.mse_loss(predicted_BCHW.float(), self._target_BCHW)

    def _encoded(self) -> dict[str, torch.Tensor]:
        if self._texts == "kept":
            return self._conditions
        with torch.set_grad_enabled(self._texts == "trained"):
            return self._family.encode_text(self._tokens, self._settings)


class Reading:
    """The least that makes latents of the files of a batch: opened, scaled, encoded together."""

    def __init__(self, trainer: Trainer, side_px: int) -> None:
        self._vae, self._device = trainer.family.vae, trainer.accelerator.device
        self._size_px = side_px, side_px
        self._paths = [image.path for image in trainer.data.images][: trainer.options.length.train_batch_size]
        self._half = trainer.accelerator.mixed_precision == "bf16"

    def step(self) -> None:
        """The latents of one batch."""
        pixels_BCHW = torch.stack([self._read(path) for path in self._paths]).to(self._device)
        with torch.no_grad(), torch.autocast(self._device.type, torch.bfloat16, enabled=self._half):
            self._vae.encode(pixels_BCHW).latent_dist.sample()

    def _read(self, path: Path) -> torch.Tensor:
        import cv2
        import numpy as np
        from PIL import Image

        image = Image.open(path)
        # It would be copied.
        image = image if image.mode == "RGB" else image.convert("RGB")
        pixels_HWC = cv2.resize(np.asarray(image), self._size_px, interpolation=cv2.INTER_AREA)
        return torch.from_numpy(pixels_HWC).permute(2, 0, 1).float() / 127.5 - 1.0


def ready_batch(trainer: Trainer) -> Batch:
    """A batch on the device, as the training would make its first one."""
    items = trainer.data.plan(0, trainer.seed)[0]
    examples = [trainer.data.load(item, Moment(seed=trainer.seed)) for item in items]
    batch = trainer.maker.make(Loaded(examples), Draw(trainer.seed, 0, trainer.options.noise))
    assert batch is not None
    return batch


@dataclass(frozen=True)
class Turns:
    """A training whose steps are taken one by one, and the bare loop on the same model."""

    trainer: Trainer
    ours: Step
    bare: Step


@contextmanager
def turns(case: Case, given: Given, **values: Any) -> Iterator[Turns]:
    """Both, with some steps taken; on the way out the training is left where it stands."""
    trainer = make_trainer(case, given, **values)
    with closing(trainer.steps()) as steps:
        next(steps)
        bare = Bare(trainer, case.texts)
        for _ in range(WARM_STEPS):
            bare.step()
            next(steps)
        yield Turns(trainer, partial(next, steps), bare.step)
    trainer.report.close()
    # Two models of true size do not fit.
    del trainer, bare, steps
    gc.collect()
    torch.cuda.empty_cache()
