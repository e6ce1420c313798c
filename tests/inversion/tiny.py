"""A tiny model learns a new word."""

from sd_scripts.library.train.inversion_method import InversionMethod
from sd_scripts.library.train.trainer import Trainer
from sd_scripts.options.sdxl_train_textual_inversion import SdxlTrainTextualInversionOptions
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_textual_inversion import TrainTextualInversionOptions
from tests.train.tiny import Recorder, brief, captioned, shown_as_asked, tiny_family

WORD = "my-cat"


def inversion_options(folder, sdxl=False, **values):
    """Options with the paths filled in."""
    given = {
        "pretrained_model_name_or_path": "base.safetensors",
        "token_string": WORD,
        "num_vectors_per_token": 2,
        "save_model_as": "safetensors",
        **brief(folder),
    }
    return from_values(SdxlTrainTextualInversionOptions if sdxl else TrainTextualInversionOptions, given | values)


def make_inversion_trainer(folder, family=None, data=None, **values):
    recorder, family = Recorder(), family or tiny_family()
    given = inversion_options(folder, family.name == "sdxl", **values)
    data = shown_as_asked(data or captioned(f"a {WORD} on a tree"), given)
    return Trainer(family, InversionMethod(given, recorder.report), data, given, recorder.report), recorder


def learn_word(folder, family=None, data=None, **values):
    """Trains to the end; (trainer, recorder)."""
    trainer, recorder = make_inversion_trainer(folder, family, data, **values)
    trainer.run()
    return trainer, recorder


def vectors(trainer):
    """{part: the word's vectors}."""
    return {part: new.vectors.detach() for part, new in trainer.method.trained().items()}
