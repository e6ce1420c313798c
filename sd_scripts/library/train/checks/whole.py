"""What must be true of a training of a whole model before it is loaded. Needs no torch."""

from sd_scripts.library.train.checks.data import check_texts_frozen
from sd_scripts.library.train.checks.machine import check_frozen
from sd_scripts.options.method import ChosenTextOptions
from sd_scripts.options.trainer import FullTrainerOptions


def check_whole(options: FullTrainerOptions) -> None:
    """What is kept of frozen parts goes with what is trained. Errors: BadOption."""
    if options.method.trains_text_encoder:
        chosen = isinstance(options.method, ChosenTextOptions)
        check_texts_frozen(options.text_cache, "train_text_encoder" if chosen else None)
    check_frozen(options.precision, options.method.frozen_texts)
