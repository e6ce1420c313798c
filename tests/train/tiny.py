"""A tiny model, tiny data, and a training of both."""

import copy
import functools
import io
import json
import shutil
import tempfile
import weakref
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from sd_scripts.library.data.caption_rules import caption_rules
from sd_scripts.library.data.picture_data import PictureData
from sd_scripts.library.data.subset_reader import Picture
from sd_scripts.library.data.subsets import Dataset, Subset
from sd_scripts.library.data.training_data import TrainImage
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.models.sd import load
from sd_scripts.library.report import Report
from sd_scripts.options.fine_tune import FineTuneMethodOptions, FineTuneOptions
from sd_scripts.options.spec import from_values


@functools.cache
def _loaded(seed):
    with tempfile.TemporaryDirectory() as folder:
        return load(str(make_sd1(Path(folder) / "tiny.safetensors", seed)))


def tiny_family(seed=0):
    """Stable Diffusion 1 in its true layout, tiny; loaded once, as its tokenizer takes long to build."""
    family = copy.copy(_loaded(seed))
    for part in ("unet", "text_encoder", "vae"):
        setattr(family, part, copy.deepcopy(getattr(family, part)))
    return family


TEXTS = ["a red cat", "a blue dog, sitting", "one tree", "two houses", "a boat", "rain", "snow", "wind"]


def tiny_data(count=4, latents=True, repeats=1, side_px=64):
    """Pictures of one size; with latents in memory, or as files to be read."""
    folder = Path(tempfile.mkdtemp())
    images = [TrainImage(f"picture{i}", folder / f"{i}.png", TEXTS[i % 8], (side_px, side_px)) for i in range(count)]
    subset = Subset(metadata_file="meta_lat.json", repeats=repeats)
    data = PictureData([Dataset((subset,))], [Picture(image, 0, subset, repeats) for image in images])
    # Some tests take it away.
    weakref.finalize(data, shutil.rmtree, folder, ignore_errors=True)
    generator = torch.Generator().manual_seed(7)
    for i, image in enumerate(images):
        if latents:
            data.put_latents(i, torch.randn(4, side_px // 8, side_px // 8, generator=generator) * 5)
        else:
            Image.effect_noise((side_px, side_px), 50).convert("RGB").save(image.path)
    return data


def captioned(text, count=4):
    """Tiny data whose pictures all have the same text."""
    data = tiny_data(count)
    data.pictures = [replace(picture, image=replace(picture.image, text=text)) for picture in data.pictures]
    return data


def brief(folder):
    """A short training into `folder`."""
    return {
        "output_dir": str(Path(folder) / "out"),
        "output_name": "X",
        "max_train_steps": 3,
        "learning_rate": 1e-3,
        "seed": 1,
        "max_data_loader_n_workers": 0,
    }


def options(folder, **values):
    """Options of fine_tune.py with the paths filled in."""
    metadata = Path(folder) / "meta_lat.json"
    metadata.write_text(json.dumps({"picture0": {"caption": "a red cat", "train_resolution": [64, 64]}}))
    given = {
        "pretrained_model_name_or_path": "base.safetensors",
        "in_json": str(metadata),
        **brief(folder),
    }
    return from_values(FineTuneOptions, given | values)


class Recorder:
    """A report whose events are kept."""

    def __init__(self):
        self.out = io.StringIO()
        self.report = Report(out=self.out)
        self.events = []
        self.report.emit = self.events.append

    def of(self, kind):
        return [event for event in self.events if event.event == kind]

    @property
    def losses(self):
        return [event.values["loss"] for event in self.of("metric")]

    @property
    def said(self):
        return self.out.getvalue()


def make_trainer(folder, family=None, data=None, text=False, text_rate=None, as_asked=True, **values):
    from sd_scripts.library.train.full import FullFineTune
    from sd_scripts.library.train.trainer import Trainer

    recorder = Recorder()
    given = options(folder, **values)
    data = shown_as_asked(data or tiny_data(), given) if as_asked else data
    method = FullFineTune(FineTuneMethodOptions(train_text_encoder=text, learning_rate_te=text_rate))
    return Trainer(family or tiny_family(), method, data, given, recorder.report), recorder


def shown_as_asked(data, given):
    """Tiny data is made without options: batch size, repeats and captions are those of the training that takes it."""
    (dataset,), size = data.datasets, given.length.train_batch_size
    repeats = max(getattr(given.data, "dataset_repeats", 1), dataset.subsets[0].repeats)
    subset = replace(dataset.subsets[0], captions=caption_rules(given.captions), repeats=repeats)
    data.datasets = [replace(dataset, subsets=(subset,), batch_size=size)]
    data.pictures = [replace(picture, subset=subset, repeats=repeats) for picture in data.pictures]
    return data


def train(folder, family=None, data=None, text=False, text_rate=None, **values):
    """Trains to the end; (trainer, recorder)."""
    trainer, recorder = make_trainer(folder, family, data, text, text_rate, **values)
    trainer.run()
    return trainer, recorder


def weights(module):
    return {name: tensor.clone() for name, tensor in module.state_dict().items()}
