"""What must be true of pictures that are held out, and of averages of the weights. Needs no torch."""

from collections.abc import Iterator

from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.errors import BadOption
from sd_scripts.library.notice import Notice
from sd_scripts.library.train.optimizers import optimizer_name
from sd_scripts.options.optimizer import is_schedule_free
from sd_scripts.options.trainer import TrainerOptions
from sd_scripts.options.validation import AverageOptions


def check_validation(options: TrainerOptions) -> None:
    """What needs pictures that are held out has such, and an average can be kept. Errors: BadOption, BadFile."""
    validation = options.validation
    if validation.validation_split and options.data.dataset_class:
        sentence = "--validation_split is for pictures: a --dataset_class decides itself what is learnt. Leave it out."
        raise BadOption("validation_split", sentence)
    holding_out = holds_out(options)
    for option in ("keep_best", "early_stop"):
        if getattr(validation, option) and not holding_out:
            sentence = "needs pictures that are held out: add --validation_split, such as 0.1"
            raise BadOption(option, f"--{option} {sentence}.")
    if holding_out and options.zero.deepspeed and options.zero.zero_stage == 3:
        sentence = "--validation_split does not go with --zero_stage 3, which divides the weights"
        raise BadOption("validation_split", f"{sentence}. Leave out one of the two.")
    _check_average(options)


def idle_validation(options: TrainerOptions) -> Iterator[Notice]:
    """A sentence for each option that does nothing."""
    names = ("validation_seed", "validate_every_n_steps", "validate_every_n_epochs", "max_validation_steps")
    for name in names if not holds_out(options) else ():
        if getattr(options.validation, name) is not None:
            yield Notice(name, f"--{name} is not used: no pictures are held out (--validation_split).")
    if options.average.ema_on_cpu and not options.average.ema_decay:
        yield Notice("ema_on_cpu", "--ema_on_cpu is not used without --ema_decay.")


def holds_out(options: TrainerOptions) -> bool:
    """Whether a dataset holds out pictures. Errors: BadOption, BadFile."""
    if options.data.dataset_class:
        return False
    return any(dataset.held_out_share for dataset in asked_datasets(options))


def _check_average(options: TrainerOptions) -> None:
    average: AverageOptions = options.average
    if average.ema_decay == 1:
        raise BadOption("ema_decay", "--ema_decay 1 would keep the weights as they were at first. Use 0.999.")
    if not average.ema_decay:
        return
    if options.zero.deepspeed:
        sentence = "--ema_decay does not go with --deepspeed, whose processes hold parts of the weights"
        raise BadOption("ema_decay", f"{sentence}. Leave out one of the two.")
    name = optimizer_name(options.optimizer)
    if is_schedule_free(name):
        sentence = f"{name} keeps an average of the weights by itself"
        raise BadOption("ema_decay", f"--ema_decay: {sentence}. Leave it out, or use another optimizer.")
