"""What the trainers' scripts have in common before a model is loaded. Needs no torch."""

from collections.abc import Callable
from typing import TypeVar

from sd_scripts.library.data.read_ahead import let_threads_sleep
from sd_scripts.library.report import Report
from sd_scripts.library.train.checks.data import check_data
from sd_scripts.library.train.checks.training import check_names, check_training
from sd_scripts.options.trainer import TrainerOptions

Options = TypeVar("Options", bound=TrainerOptions)


def ready_to_train(options: Options, report: Report, check_own: Callable[[Options], None]) -> bool:
    """Whether training is to begin, once all is checked: not where only the data is to be shown, which is done here.

    `check_own` checks what the script has for itself. Errors: BadOption, BadFile.
    """
    report.use_console(options.console)
    if options.data.debug_dataset:
        check_data(options)
    if only_shown(options, report):
        return False
    check_own(options)
    check_training(options)
    check_names(options.model, options.text)
    let_threads_sleep()
    return True


def only_shown(options: TrainerOptions, report: Report) -> bool:
    """Shows the data of checked options, where nothing but that is asked for (--debug_dataset), and says so."""
    if options.data.debug_dataset:
        # It imports torch.
        from sd_scripts.library.train.preview import show_dataset

        show_dataset(options, report)
    return options.data.debug_dataset
