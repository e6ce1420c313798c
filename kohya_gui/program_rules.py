"""What the training program itself would refuse before it loads a model: its own checks, asked beforehand.

They speak last, of fields that no rule of the page has blamed. None of them needs torch.
"""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Any

from kohya_gui import devices, fixes
from kohya_gui.command import is_data
from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.launching import processes
from kohya_gui.rules import entries_of
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.idle import idle_prepared, idle_sizes
from sd_scripts.library.data.subsets import Dataset
from sd_scripts.library.errors import BadOption, NotInstalled, UserError
from sd_scripts.library.notice import Notice
from sd_scripts.library.team import as_if_launched
from sd_scripts.library.train.about import check_about
from sd_scripts.library.train.boards import check_boards
from sd_scripts.library.train.checks.data import check_agrees, check_caches, check_masks
from sd_scripts.library.train.checks.machine import MACHINE_CHECKS
from sd_scripts.library.train.checks.noise import check_noise
from sd_scripts.library.train.checks.output import check_log_names, check_samples, check_saving, check_targets
from sd_scripts.library.train.checks.training import check_padding
from sd_scripts.library.train.checks.trouble import check_trouble
from sd_scripts.library.train.checks.validation import check_validation
from sd_scripts.library.train.checks.whole import check_whole
from sd_scripts.library.train.going_on import check_named, check_same
from sd_scripts.library.train.hypernetwork_rules import check_hypernetwork
from sd_scripts.library.train.inversion_rules import check_inversion
from sd_scripts.library.train.network_rules import check_network
from sd_scripts.library.train.notices import hypernetwork_notices, inversion_notices, network_notices, notices
from sd_scripts.library.train.optimizers import optimizer_arguments
from sd_scripts.library.train.optimizing import check_optimizing
from sd_scripts.options.spec import from_values

Check = Callable[[Any], object]
"""Asks the options of a script; what it refuses it raises."""


def _check_output(options: Any) -> None:
    # Only a name that can be one is looked for.
    check_saving(options.saving)
    check_targets(options)


def _check_state(options: Any) -> None:
    check_named(options.state)
    check_same(options)


def _datasets(options: Any) -> list[Dataset]:
    """None where they cannot be told yet, which the rules of the data say."""
    with suppress(UserError):
        return [] if options.data.dataset_class else asked_datasets(options)
    return []


def _check_data(options: Any) -> None:
    subsets = [subset for dataset in _datasets(options) for subset in dataset.subsets]
    if subsets:
        check_masks(options.masks, subsets)
    for subset in subsets:
        check_agrees(options, subset)


def _check_held_out(options: Any) -> None:
    if options.data.dataset_class or _datasets(options):
        check_validation(options)


def _besides_packages(check: Check) -> Check:
    """Without what it says of packages that are missing: rules of the page name what will do instead."""

    def accept(options: Any) -> None:
        with suppress(NotInstalled):
            check(options)

    return accept


# (the field to blame where the error names none, check)
_CHECKS: tuple[tuple[str, Check], ...] = (
    ("optimizer_args", lambda options: optimizer_arguments(options.optimizer)),
    ("lr_scheduler_args", lambda options: check_optimizing(options.optimizer, options.schedule, options.length)),
    ("output_name", _check_output),
    ("log_prefix", lambda options: check_log_names(options.logging)),
    ("log_tracker_config", lambda options: check_boards(options.logging)),
    ("resume", _check_state),
    ("sample_prompts", lambda options: check_samples(options.samples)),
    *(("mixed_precision", _besides_packages(check)) for check in MACHINE_CHECKS),
    ("on_nonfinite", check_trouble),
    ("verify_cache", lambda options: check_caches(options.resolution)),
    ("dataset_config", _check_data),
    ("validation_split", _check_held_out),
    ("noise_offset", check_noise),
    ("no_token_padding", lambda options: check_padding(options.text, options.text_cache)),
    ("metadata_thumbnail", lambda options: check_about(options.about)),
)

# What may do instead of leaving an option out; that is offered of which the program then says nothing any more.
_INSTEAD: dict[str, tuple[dict[str, Any], ...]] = {
    "stochastic_rounding": ({"full_bf16": True, "mixed_precision": "bf16"},),
    "gradient_checkpointing_levels": ({"gradient_checkpointing": True},),
    **dict.fromkeys(("compile_dynamic", "compile_cache_size_limit"), ({"torch_compile": True},)),
    "compile_mode": (
        {"torch_compile": True},
        {"dynamo_backend": "inductor"},
        {"compile_dynamic": "false"},
        {"gradient_accumulation_steps": 1},
    ),
    "fused_optimizer_groups": (
        {"fused_backward_pass": False},
        {"mixed_precision": "bf16"},
        {"gradient_accumulation_steps": 1},
    ),
    "on_nonfinite": ({"save_state": True, "save_every_n_epochs": 1},),
    "masked_loss": ({"alpha_mask": True},),
    **dict.fromkeys(("keep_best", "early_stop"), ({"validation_split": 0.1},)),
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
    options, blamed = _options(draft), set()
    for flag, accept in (*_CHECKS, *PROGRAMS[draft.stage.script].checks.items()):
        error = _refusal(draft, options, accept)
        option = getattr(error, "option", flag)
        if error and option not in blamed:
            blamed.add(option)
            yield Finding("error", option, str(error), tuple(_mends(draft, option, accept)))


def _options(draft: Draft) -> Any:
    return from_values(draft.stage.options, {flag: value for flag, value in in_reach(draft).items() if value != ""})


def _refusal(draft: Draft, options: Any, accept: Check) -> UserError | None:
    """What the program says against options, in as many processes as will be started."""
    try:
        with as_if_launched(processes(draft.values)):
            accept(options)
    except UserError as error:
        return error
    return None


def _mends(draft: Draft, option: str, accept: Check) -> Iterator[Fix]:
    """What would do instead, and leaving the option out; none where any field's own fixes are all there is."""
    known = [values for values in _INSTEAD.get(option, ()) if values.keys() <= draft.specs.keys()]
    possible = [_instead(draft, values) for values in known]
    for fix in [*possible, fixes.leave_out(draft, option)] if possible else ():
        mended = draft.mended(fix)
        if _refusal(mended, _options(mended), accept) is None:
            yield fix


def _instead(draft: Draft, values: dict[str, Any]) -> Fix:
    """Named after the first of the values."""
    flag, value = next(iter(values.items()))
    named = {True: fixes.turn_on, False: fixes.turn_off}.get(value) if isinstance(value, bool) else None
    return replace(named(draft, flag) if named else fixes.set_to(draft, flag, value), values=values)


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
        with as_if_launched(processes(draft.values)):
            told = list(PROGRAMS[draft.stage.script].tells(options, devices.names() != ["cpu"]))
        return [*told, *_about_sizes(draft, options)]
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
