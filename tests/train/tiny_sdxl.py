"""A tiny SDXL model, and trainings of it."""

import copy
import functools
import tempfile
from pathlib import Path

from sd_scripts.library.example.sd_models import make_sdxl
from sd_scripts.library.models.sdxl import load
from sd_scripts.options.sdxl_train import SdxlTrainOptions
from sd_scripts.options.spec import flat_values, from_values
from tests.train.tiny import Recorder, options, shown_as_asked, tiny_data


@functools.cache
def _loaded(seed):
    with tempfile.TemporaryDirectory() as folder:
        return load(str(make_sdxl(Path(folder) / "tiny.safetensors", seed)))


def tiny_sdxl(seed=0):
    """SDXL in its true layout, tiny; loaded once, as its tokenizers take long to build."""
    family = copy.copy(_loaded(seed))
    for part in ("unet", "text_encoder1", "text_encoder2", "vae"):
        setattr(family, part, copy.deepcopy(getattr(family, part)))
    return family


def make_sdxl_trainer(folder, family=None, data=None, as_asked=True, **values):
    from sd_scripts.library.train.full import FullFineTune
    from sd_scripts.library.train.trainer import Trainer

    recorder = Recorder()
    given = from_values(SdxlTrainOptions, flat_values(options(folder)) | values)
    data = shown_as_asked(data or tiny_data(), given) if as_asked else data
    return Trainer(family or tiny_sdxl(), FullFineTune(given.method), data, given, recorder.report), recorder


def train_sdxl(folder, family=None, data=None, **values):
    """Trains to the end; (trainer, recorder)."""
    trainer, recorder = make_sdxl_trainer(folder, family, data, **values)
    trainer.run()
    return trainer, recorder
