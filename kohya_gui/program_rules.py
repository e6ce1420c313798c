"""What the training program itself would refuse before it loads a model: its own checks, asked beforehand.

They speak last, of fields that no rule of the page has blamed. None of them needs torch.
"""

from collections.abc import Callable, Iterator

from kohya_gui.command import is_data
from kohya_gui.draft import Draft, Finding
from sd_scripts.library.errors import BadOption, UserError
from sd_scripts.library.train.about import check_about
from sd_scripts.library.train.boards import check_boards
from sd_scripts.library.train.checks.output import check_log_names, check_samples, check_saving, check_targets
from sd_scripts.library.train.optimizers import optimizer_arguments
from sd_scripts.library.train.optimizing import check_optimizing
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values


def _check_output(options: FineTuneOptions) -> None:
    # Only a name that can be one is looked for.
    check_saving(options.saving)
    check_targets(options)


# {the field to blame where the error names none: check}
_CHECKS: dict[str, Callable[[FineTuneOptions], object]] = {
    "optimizer_args": lambda options: optimizer_arguments(options.optimizer),
    "lr_scheduler_args": lambda options: check_optimizing(options.optimizer, options.schedule, options.length),
    "output_name": _check_output,
    "log_prefix": lambda options: check_log_names(options.logging),
    "log_tracker_config": lambda options: check_boards(options.logging),
    "sample_prompts": lambda options: check_samples(options.samples),
    "metadata_thumbnail": lambda options: check_about(options.about),
}


def program_agrees(draft: Draft) -> Iterator[Finding]:
    """The training program accepts what was typed. Files that the page may not reach are not opened."""
    values = {flag: value for flag, value in draft.values.items() if _in_reach(draft, flag, value)}
    options = from_values(FineTuneOptions, values)
    for flag, accept in _CHECKS.items():
        try:
            accept(options)
        except UserError as error:
            yield Finding("error", getattr(error, "option", flag), str(error))


def _in_reach(draft: Draft, flag: str, value: object) -> bool:
    if draft.specs[flag].path is None or is_data(value):
        return True
    try:
        draft.roots.inside(str(value), flag, draft.base)
    except BadOption:
        return False
    return True
