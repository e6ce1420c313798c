"""DreamBooth trainings of a tiny model."""

from sd_scripts.options.spec import from_values
from sd_scripts.options.train_db import TrainDbOptions
from tests.train.tiny import Recorder, brief, shown_as_asked, tiny_data, tiny_family


def db_options(folder, **values):
    """Options of train_db.py with the paths filled in."""
    return from_values(TrainDbOptions, {"pretrained_model_name_or_path": "base.safetensors", **brief(folder)} | values)


def train_db(folder, family=None, data=None, **values):
    """Trains to the end; (trainer, recorder)."""
    from sd_scripts.library.train.full import FullFineTune
    from sd_scripts.library.train.trainer import Trainer

    recorder = Recorder()
    given = db_options(folder, **values)
    data = shown_as_asked(data or tiny_data(), given)
    trainer = Trainer(family or tiny_family(), FullFineTune(given.method), data, given, recorder.report)
    trainer.run()
    return trainer, recorder
