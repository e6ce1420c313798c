"""What the training program itself would refuse before it loads a model: its own checks, asked beforehand.

They speak last, of fields that no rule of the page has blamed. None of them needs torch.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from kohya_gui import devices, fixes
from kohya_gui.command import is_data
from kohya_gui.draft import Draft, Finding
from kohya_gui.launching import processes
from kohya_gui.rules import entries_of
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.idle import idle_prepared, idle_sizes
from sd_scripts.library.errors import BadOption, UserError
from sd_scripts.library.notice import Notice
from sd_scripts.library.train.about import check_about
from sd_scripts.library.train.boards import check_boards
from sd_scripts.library.train.checks.machine import check_text_stop
from sd_scripts.library.train.checks.output import check_log_names, check_samples, check_saving, check_targets
from sd_scripts.library.train.checks.training import check_padding
from sd_scripts.library.train.checks.whole import check_whole
from sd_scripts.library.train.going_on import check_named, check_same
from sd_scripts.library.train.hypernetwork_rules import check_hypernetwork
from sd_scripts.library.train.inversion_rules import check_inversion
from sd_scripts.library.train.network_rules import check_network
from sd_scripts.library.train.notices import hypernetwork_notices, inversion_notices, network_notices, notices
from sd_scripts.library.train.optimizers import optimizer_arguments
from sd_scripts.library.train.optimizing import check_optimizing
from sd_scripts.options.device import ParallelOptions
from sd_scripts.options.spec import from_values

Check = Callable[[Any], object]
"""Asks the options of a script; what it refuses it raises."""


def _check_output(options: Any) -> None:
    # Only a name that can be one is looked for.
    check_saving(options.saving)
    check_targets(options)


def _check_state(options: Any) -> None:
    check_named(options.state)
    # The state counts the pictures of all processes, and the training's processes are not these.
    check_same(options, besides=["train_batch_size"])


# {the field to blame where the error names none: check}
_CHECKS: dict[str, Check] = {
    "optimizer_args": lambda options: optimizer_arguments(options.optimizer),
    "lr_scheduler_args": lambda options: check_optimizing(options.optimizer, options.schedule, options.length),
    "output_name": _check_output,
    "log_prefix": lambda options: check_log_names(options.logging),
    "log_tracker_config": lambda options: check_boards(options.logging),
    "resume": _check_state,
    "sample_prompts": lambda options: check_samples(options.samples),
    "stop_text_encoder_training": check_text_stop,
    "no_token_padding": lambda options: check_padding(options.text, options.text_cache),
    "metadata_thumbnail": lambda options: check_about(options.about),
}


@dataclass(frozen=True)
class Program:
    """What one script asks besides what all ask (`checks`, as above), and what it tells at its start."""

    tells: Callable[[Any, bool], Iterator[Notice]]
    checks: dict[str, Check] = field(default_factory=dict)


PROGRAMS: dict[str, Program] = {
    "fine_tune.py": Program(notices, {"fp8_base": check_whole}),
    "sdxl_train.py": Program(
        notices, {"fp8_base": check_whole, "block_lr": lambda options: options.method.block_rates}
    ),
    "train_db.py": Program(notices, {"fp8_base": check_whole}),
    "train_network.py": Program(network_notices, {"network_module": check_network}),
    "train_textual_inversion.py": Program(inversion_notices, {"token_string": check_inversion}),
    "sdxl_train_textual_inversion.py": Program(inversion_notices, {"token_string": check_inversion}),
    "sdxl_train_network.py": Program(network_notices, {"network_module": check_network}),
    "train_hypernetwork.py": Program(hypernetwork_notices, {"layer_structure": check_hypernetwork}),
}
"""{script of a training: what it asks and tells of its own}."""


def program_agrees(draft: Draft) -> Iterator[Finding]:
    """The training program accepts what was typed. Files that the page may not reach are not opened."""
    options = from_values(draft.stage.options, in_reach(draft))
    for flag, accept in {**_CHECKS, **PROGRAMS[draft.stage.script].checks}.items():
        try:
            accept(options)
        except UserError as error:
            yield Finding("error", getattr(error, "option", flag), str(error))


def program_tells(draft: Draft) -> Iterator[Finding]:
    """What the training program would say at its start: mostly, which options do nothing."""
    values = in_reach(draft)
    for notice in _told(draft, values):
        without = {flag: value for flag, value in values.items() if flag != notice.option}
        # Not every sentence is about a value that could be left out.
        helps = notice.option in values and notice not in _told(draft, without)
        yield Finding("note", notice.option, str(notice), (fixes.leave_out(draft, notice.option),) if helps else ())


def _told(draft: Draft, values: dict[str, Any]) -> list[Notice]:
    options = from_values(draft.stage.options, values)
    try:
        told = PROGRAMS[draft.stage.script].tells(options, devices.names() != ["cpu"])
        alone = () if processes(draft.values) == 1 else vars(ParallelOptions())
        return [*(one for one in told if one.option not in alone), *_about_sizes(draft, options)]
    except UserError:
        return []


def _about_sizes(draft: Draft, options: Any) -> Iterator[Notice]:
    if options.data.dataset_class or not (options.data.dataset_config or draft.get("in_json")):
        return
    yield from idle_sizes(options, asked_datasets(options))
    entries = entries_of(draft)
    if entries and not entries.count(lambda kind: kind.prepared_px is None):
        yield from idle_prepared(options)


def in_reach(draft: Draft) -> dict[str, Any]:
    """The values without paths that the page may not reach: their files are not opened."""
    return {flag: value for flag, value in draft.values.items() if _reaches(draft, flag, value)}


def _reaches(draft: Draft, flag: str, value: object) -> bool:
    path = draft.specs[flag].path
    if path is None or is_data(value) or (path == "state" and draft.get("resume_from_huggingface")):
        return True
    try:
        for one in value if isinstance(value, list) else [value]:
            draft.roots.inside(str(one), flag, draft.base)
    except BadOption:
        return False
    return True
