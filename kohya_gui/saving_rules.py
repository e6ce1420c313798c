"""Rules of what a training writes: models, states, samples, logs, uploads; and whether it fits."""

import importlib.util
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import get_token

from kohya_gui import found
from kohya_gui.draft import Draft, Finding
from kohya_gui.facts import needed_bytes
from kohya_gui.rules import rule
from kohya_gui.training_plan import training_plan
from kohya_gui.words import size
from sd_scripts.library.train.checks.output import LONGEST_NAME_BYTES


@rule("train")
def output_needed(draft: Draft) -> Iterator[Finding]:
    """Training writes somewhere, and not over what is there."""
    folder = draft.path("output_dir")
    if folder is None:
        yield draft.error("output_dir", "check.output_dir_needed")
        return
    name = draft.get("output_name") or "last"
    if Path(name).name != name or len(name.encode("utf-8", "replace")) > LONGEST_NAME_BYTES:
        yield draft.error("output_name", "project.output_name_unsafe")
        return
    there = [path for path in (folder / f"{name}{ext}" for ext in (".safetensors", ".ckpt", "")) if path.exists()]
    if there:
        yield draft.warning("output_name", "check.exists", path=there[0].name)


@rule("train")
def samples_have_prompts(draft: Draft) -> Iterator[Finding]:
    """Samples need prompts; prompts need a time."""
    asked = [f for f in ("sample_every_n_epochs", "sample_every_n_steps", "sample_at_first") if draft.get(f)]
    if asked and not draft.get("sample_prompts"):
        yield draft.error("sample_prompts", "check.prompts_needed")
    if draft.get("sample_prompts") and not asked:
        yield draft.warning("sample_every_n_epochs", "check.prompts_unused")


@rule("train")
def logs_can_be_kept(draft: Draft) -> Iterator[Finding]:
    """TensorBoard needs a folder, wandb its package."""
    asked = draft.get("log_with")
    if asked in ("tensorboard", "all") and not draft.get("logging_dir"):
        yield draft.error("logging_dir", "check.logging_dir_needed")
    if asked in ("wandb", "all") and importlib.util.find_spec("wandb") is None:
        yield draft.error("log_with", "check.no_wandb", python=sys.executable)


@rule("train")
def kept_of_what_is_saved(draft: Draft) -> Iterator[Finding]:
    """Keeping the last ones presupposes that some are saved."""
    saved = {
        "epochs": draft.get("save_every_n_epochs") or draft.get("save_n_epoch_ratio"),
        "steps": draft.get("save_every_n_steps"),
    }
    for unit, is_saved in saved.items():
        needed, states = f"save_every_n_{unit}", draft.get(f"save_last_n_{unit}_state")
        if draft.get(f"save_last_n_{unit}") and not is_saved:
            yield draft.error(f"save_last_n_{unit}", "check.needs", needed=needed)
        if states and not (is_saved and draft.get("save_state")):
            yield draft.error(f"save_last_n_{unit}_state", "check.needs", needed=f"save_state, {needed}")


_WITH_REPOSITORY = ("huggingface_path_in_repo", "huggingface_repo_type", "huggingface_repo_visibility",
                    "save_state_to_huggingface", "async_upload")  # fmt: skip


@rule("train")
def uploads_possible(draft: Draft) -> Iterator[Finding]:
    """Uploads go to a repository and need a token; states are uploaded only where some are saved."""
    repository = draft.get("huggingface_repo_id")
    for flag in _WITH_REPOSITORY:
        if draft.get(flag) and not repository:
            yield draft.error(flag, "check.needs", needed="huggingface_repo_id")
    if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        yield draft.error("huggingface_repo_id", "check.hub_id")
    elif repository and not get_token():
        yield draft.error("huggingface_repo_id", "check.hub_token")
    saved = draft.get("save_state") or draft.get("save_state_on_train_end")
    if repository and draft.get("save_state_to_huggingface") and not saved:
        yield draft.error("save_state_to_huggingface", "check.needs", needed="save_state")
    if draft.get("resume_from_huggingface") and not draft.get("resume"):
        yield draft.error("resume_from_huggingface", "check.needs", needed="resume")


@rule("train")
def space_left(draft: Draft) -> Iterator[Finding]:
    """What will be saved must fit."""
    folder, needed = draft.path("output_dir"), needed_bytes(draft, training_plan(draft))
    if folder is None or needed is None:
        return
    free = found.free_bytes(folder)
    if needed > free:
        sizes = {"needed": size(needed), "free": size(free), "folder": folder}
        yield draft.error("output_dir", "check.no_space", **sizes)
