"""Rules of what a training writes: models, states, samples, logs, uploads; and whether it fits."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import get_token

from kohya_gui import fixes, found
from kohya_gui.draft import Draft, Finding, Fix
from kohya_gui.facts import needed_bytes
from kohya_gui.program_rules import in_reach
from kohya_gui.rules import rule
from kohya_gui.stages import TRAINERS
from kohya_gui.training_plan import training_plan
from kohya_gui.words import say, size
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.boards import wandb_can_start
from sd_scripts.library.train.checks.output import LONGEST_NAME_BYTES
from sd_scripts.options.spec import from_values
from sd_scripts.options.training import LoggingOptions


@rule(*TRAINERS)
def output_needed(draft: Draft) -> Iterator[Finding]:
    """Training writes somewhere, and not over what is there."""
    folder = draft.path("output_dir")
    if folder is None:
        given = [fixes.from_project(draft, "output_dir")] if draft.given("output_dir") else []
        yield draft.error("output_dir", "check.output_dir_needed", *given, fixes.browse("output_dir"))
        return
    name = draft.get("output_name") or "last"
    if Path(name).name != name or len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
        plain = re.sub(r"[^\w.-]+", "-", name).strip("-.")[:60] or "last"
        yield draft.error("output_name", "project.output_name_unsafe", fixes.set_to(draft, "output_name", plain))
        return
    there = written(folder, name)
    if there:
        free = fixes.free_name(name, lambda one: bool(written(folder, one)))
        yield draft.warning("output_name", "check.exists", fixes.rename(draft, "output_name", free), path=there[0].name)


def written(folder: Path, name: str) -> list[Path]:
    """The models of a name that are in a folder."""
    return [path for path in (folder / f"{name}{ext}" for ext in (".safetensors", ".ckpt", ".pt", "")) if path.exists()]


@rule(*TRAINERS)
def samples_have_prompts(draft: Draft) -> Iterator[Finding]:
    """Samples need prompts; prompts need a time."""
    asked = [f for f in ("sample_every_n_epochs", "sample_every_n_steps", "sample_at_first") if draft.get(f)]
    if asked and not draft.get("sample_prompts"):
        write = Fix(say("fix.write_prompts"), action="write_prompts")
        none = fixes.leave_out(draft, *asked)
        yield draft.error("sample_prompts", "check.prompts_needed", write, fixes.browse("sample_prompts"), none)
    if draft.get("sample_prompts") and not asked:
        mend = (fixes.set_to(draft, "sample_every_n_epochs", 1), fixes.leave_out(draft, "sample_prompts"))
        yield draft.warning("sample_every_n_epochs", "check.prompts_unused", *mend)


@rule(*TRAINERS)
def logs_can_be_kept(draft: Draft) -> Iterator[Finding]:
    """TensorBoard needs a folder, wandb its package."""
    asked = draft.get("log_with")
    if asked in ("tensorboard", "all") and not draft.get("logging_dir"):
        logs = str(draft.project.logging_dir if draft.project.work_dir else draft.base / "logs")
        yield draft.error("logging_dir", "check.logging_dir_needed", fixes.set_to(draft, "logging_dir", logs))
    board = fixes.set_to(draft, "log_with", "tensorboard" if draft.get("logging_dir") else "")
    if asked in ("wandb", "all") and importlib.util.find_spec("wandb") is None:
        yield draft.error("log_with", "check.no_wandb", board, python=sys.executable)
    elif asked in ("wandb", "all") and not _wandb_can_start(draft):
        yield draft.error("log_with", "check.wandb_key", board)


def _wandb_can_start(draft: Draft) -> bool:
    """Whether wandb has a key; what is wrong with the file of its settings is said elsewhere."""
    try:
        return wandb_can_start(from_values(LoggingOptions, in_reach(draft)))
    except BadOption:
        return True


# How often is saved where somebody has to say something.
_USUAL = {"epochs": 1, "steps": 500}


@rule(*TRAINERS)
def kept_of_what_is_saved(draft: Draft) -> Iterator[Finding]:
    """Keeping the last ones presupposes that some are saved."""
    saved = {
        "epochs": draft.get("save_every_n_epochs") or draft.get("save_n_epoch_ratio"),
        "steps": draft.get("save_every_n_steps"),
    }
    for unit, is_saved in saved.items():
        needed, states = f"save_every_n_{unit}", draft.get(f"save_last_n_{unit}_state")
        if draft.get(f"save_last_n_{unit}") and not is_saved:
            mend = (fixes.set_to(draft, needed, _USUAL[unit]), fixes.leave_out(draft, f"save_last_n_{unit}"))
            yield draft.error(f"save_last_n_{unit}", "check.needs", *mend, needed=needed)
        if states and not (is_saved and draft.get("save_state")):
            flag, every = f"save_last_n_{unit}_state", draft.get(needed) or _USUAL[unit]
            mend = (fixes.set_to(draft, needed, every, save_state=True), fixes.leave_out(draft, flag))
            yield draft.error(flag, "check.needs", *mend, needed=f"save_state, {needed}")


_WITH_REPOSITORY = ("huggingface_path_in_repo", "huggingface_repo_type", "huggingface_repo_visibility",
                    "save_state_to_huggingface", "async_upload")  # fmt: skip


@rule(*TRAINERS)
def uploads_possible(draft: Draft) -> Iterator[Finding]:
    """Uploads go to a repository and need a token; states are uploaded only where some are saved."""
    repository = draft.get("huggingface_repo_id")
    for flag in _WITH_REPOSITORY:
        if draft.get(flag) and not repository:
            yield draft.error(flag, "check.needs", fixes.leave_out(draft, flag), needed="huggingface_repo_id")
    if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        yield draft.error("huggingface_repo_id", "check.hub_id")
    elif repository and not get_token():
        none = fixes.leave_out(draft, "huggingface_repo_id", *_WITH_REPOSITORY)
        yield draft.error("huggingface_repo_id", "check.hub_token", none)
    saved = draft.get("save_state") or draft.get("save_state_on_train_end")
    if repository and draft.get("save_state_to_huggingface") and not saved:
        flag = "save_state_to_huggingface"
        mend = (fixes.turn_on(draft, "save_state"), fixes.turn_off(draft, flag))
        yield draft.error(flag, "check.needs", *mend, needed="save_state")
    if draft.get("resume_from_huggingface") and not draft.get("resume"):
        off = fixes.turn_off(draft, "resume_from_huggingface")
        yield draft.error("resume_from_huggingface", "check.needs", off, needed="resume")


@rule(*TRAINERS)
def space_left(draft: Draft) -> Iterator[Finding]:
    """What will be saved must fit; settings with which it would are offered."""
    folder, needed = draft.path("output_dir"), _saved_in_all(draft)
    if folder is None or needed is None or needed <= (free := found.free_bytes(folder)):
        return
    saved = [unit for unit in _USUAL if draft.get(f"save_every_n_{unit}")]
    smaller = [fixes.set_to(draft, f"save_last_n_{unit}", _USUAL[unit]) for unit in saved]
    smaller.append(fixes.set_to(draft, "save_precision", "fp16"))
    fitting = [fix for fix in smaller if (_saved_in_all(draft.mended(fix)) or 0) <= free]
    sizes = {"needed": size(needed), "free": size(free), "folder": str(folder)}
    yield draft.error("output_dir", "check.no_space", *fitting, fixes.browse("output_dir"), **sizes)


def _saved_in_all(draft: Draft) -> float | None:
    """Bytes of all that a training leaves; None where nothing is known of their size."""
    return needed_bytes(draft, training_plan(draft))
