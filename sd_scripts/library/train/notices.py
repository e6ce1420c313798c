"""What a user should know of the options before training begins: mostly, which of them do nothing. Needs no torch."""

from collections.abc import Iterator

from sd_scripts.library.notice import Notice
from sd_scripts.library.team import launched
from sd_scripts.library.train.about import unwritten
from sd_scripts.library.train.boards import idle_logging
from sd_scripts.library.train.checks.noise import idle_options
from sd_scripts.library.train.checks.output import format_of, last_target
from sd_scripts.library.train.checks.validation import idle_validation
from sd_scripts.library.train.hypernetwork_rules import idle_hypernetwork
from sd_scripts.library.train.idle import idle_alone, idle_settings, idle_text_stop, idle_without_gpu
from sd_scripts.library.train.inversion_rules import idle_inversion
from sd_scripts.library.train.network_rules import idle_network
from sd_scripts.library.train.optimizing import rate_notices
from sd_scripts.library.train.saving import file_format
from sd_scripts.options.fine_tune import FineTuneMethodOptions
from sd_scripts.options.inversion import InversionTrainerOptions
from sd_scripts.options.train_hypernetwork import TrainHypernetworkOptions
from sd_scripts.options.trainer import FullTrainerOptions, NetworkTrainerOptions, TrainerOptions


def notices(options: FullTrainerOptions, has_gpu: bool) -> Iterator[Notice]:
    """One sentence each; the run is the same without such an option, so it is not refused. Errors: BadOption."""
    yield from rate_notices(options.optimizer, options.schedule, options.method)
    yield from idle_text_stop(options.method, options)
    yield from _common(options, has_gpu)


def network_notices(options: NetworkTrainerOptions, has_gpu: bool) -> Iterator[Notice]:
    """The same of trainings of networks. Errors: BadOption."""
    yield from rate_notices(options.optimizer, options.schedule, FineTuneMethodOptions())
    yield from idle_text_stop(options.rates, options)
    yield from idle_network(options, has_gpu)
    yield from _common(options, has_gpu)


def inversion_notices(options: InversionTrainerOptions, has_gpu: bool) -> Iterator[Notice]:
    """The same of textual inversion. Errors: BadOption."""
    yield from rate_notices(options.optimizer, options.schedule, FineTuneMethodOptions())
    yield from idle_inversion(options)
    yield from _common(options, has_gpu)


def hypernetwork_notices(options: TrainHypernetworkOptions, has_gpu: bool) -> Iterator[Notice]:
    """The same of train_hypernetwork.py. Errors: BadOption."""
    yield from rate_notices(options.optimizer, options.schedule, FineTuneMethodOptions())
    yield from idle_hypernetwork(options)
    yield from _common(options, has_gpu)


def _common(options: TrainerOptions, has_gpu: bool) -> Iterator[Notice]:
    yield from idle_options(options)
    yield from idle_settings(options)
    yield from idle_validation(options)
    yield from idle_logging(options.logging)
    yield from () if has_gpu else idle_without_gpu(options.precision)
    yield from idle_alone(options.parallel, launched().size)
    yield from unwritten(options.about, file_format(options.format, format_of(options.model)))
    yield from replaced(options)


def replaced(options: TrainerOptions) -> Iterator[Notice]:
    """A model of the name that will be written is there."""
    target = last_target(options)
    if options.saving.output_dir and target.exists():
        sentence = f"{target} is there already, and will be replaced when this training ends."
        yield Notice("output_name", f"--output_name: {sentence}")
