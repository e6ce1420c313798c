"""Rules of a training."""

import importlib.util
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from huggingface_hub import get_token

from kohya_gui import devices, found
from kohya_gui.draft import Draft, Finding
from kohya_gui.facts import saved_bytes, training_plan
from kohya_gui.rules import base_model, entries_of, rule
from kohya_gui.words import size
from sd_scripts.library.data.augment import PictureRules, parse_face_range
from sd_scripts.library.data.images import IMAGE_SUFFIXES
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks import LONGEST_NAME_BYTES


@rule("train")
def model_needed(draft: Draft) -> Iterator[Finding]:
    """Training starts from a model."""
    if not draft.get("pretrained_model_name_or_path"):
        yield draft.error("pretrained_model_name_or_path", "path.model_needed")


@rule("train")
def data_needed(draft: Draft) -> Iterator[Finding]:
    """Training needs metadata, and with bare names the folder that they stand in; or a description of its own."""
    if not any(draft.get(flag) for flag in ("in_json", "dataset_config", "dataset_class")):
        yield draft.error("in_json", "check.in_json_needed")
    entries = entries_of(draft)
    if entries and not draft.get("train_data_dir") and not Path(next(iter(entries))).is_absolute():
        yield draft.error("train_data_dir", "check.folder_needed")


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
def texts_in_metadata(draft: Draft) -> Iterator[Finding]:
    """Pictures without any text are not trained."""
    entries = entries_of(draft) or {}
    without = sum(not (entry.get("caption") or entry.get("tags")) for entry in entries.values())
    if entries and without == len(entries):
        yield draft.error("in_json", "check.no_text_at_all")
    elif without:
        yield draft.warning(None, "check.entries_without_text", n=without)
    elif entries:
        yield draft.fine("check.all_with_text", n=len(entries))


@rule("train")
def resolution_known(draft: Draft) -> Iterator[Finding]:
    """Without prepared latents the resolution must be given."""
    entries = entries_of(draft) or {}
    without = sum("train_resolution" not in entry for entry in entries.values())
    if without and not draft.get("resolution"):
        yield draft.error("resolution", "check.resolution_needed", n=without)


@rule("train")
def latents_prepared(draft: Draft) -> Iterator[Finding]:
    """Pictures that Latents has given a size should have latents beside them."""
    entries = entries_of(draft) or {}
    if draft.get("cache_latents") or draft.get("cache_latents_to_disk") or _changing(draft):
        return
    if not any("train_resolution" in entry for entry in entries.values()):
        return
    # A full path as a key stands alone; bare names stand in the folder.
    places = [os.path.split(os.path.join(draft.get("train_data_dir") or "", key)) for key in entries]
    there = {folder: _latents_in(Path(folder)) for folder in {folder for folder, _ in places}}
    ends = ("", "_flip") if draft.get("flip_aug") else ("",)
    without = sum(not {_stem(name) + end for end in ends} <= there[folder] for folder, name in places)
    if without:
        yield draft.warning(None, "check.latents_missing", n=without, all=len(entries))


@rule("train")
def changing_pictures_have_no_latents(draft: Draft) -> Iterator[Finding]:
    """Latents made before do not serve pictures that differ each time; the range of faces is one."""
    try:
        parse_face_range(draft.get("face_crop_aug_range") or "1,1")
    except BadOption as error:
        yield Finding("error", error.option, str(error))
        return
    changing = _changing(draft)
    if changing and (draft.get("cache_latents") or draft.get("cache_latents_to_disk")):
        yield draft.error(changing[0], "check.changing_cached", flag=changing[0])
    elif changing and any("train_resolution" in entry for entry in (entries_of(draft) or {}).values()):
        yield draft.warning(changing[0], "check.latents_unused", flag=changing[0])


def _changing(draft: Draft) -> tuple[str, ...]:
    return PictureRules(
        color_aug=bool(draft.get("color_aug")),
        random_crop=bool(draft.get("random_crop")),
        face_crop_aug_range=(1.0, 1.0) if draft.get("face_crop_aug_range") else None,
    ).changing


def _latents_in(folder: Path) -> frozenset[str]:
    try:
        return found.latents_in(folder)
    except OSError:
        return frozenset()


def _stem(name: str) -> str:
    stem, suffix = os.path.splitext(name)
    return stem if suffix.lower() in IMAGE_SUFFIXES else name


@rule("train")
def v_prediction_agrees(draft: Draft) -> Iterator[Finding]:
    """So does v_parameterization, where the file tells."""
    model = base_model(draft)
    if model and model.prediction_type == "v_prediction" and not draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_off")
    if model and model.prediction_type == "epsilon" and draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_on")
    if model and (model.kind, model.prediction_type) == ("sd1", None) and draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_sd1")


@rule("train")
def one_attention(draft: Draft) -> Iterator[Finding]:
    """The ways to compute attention exclude each other, and xformers must be there."""
    chosen = [flag for flag in ("xformers", "sdpa", "mem_eff_attn", "diffusers_xformers") if draft.get(flag)]
    if len(chosen) > 1:
        yield draft.error(chosen[1], "check.exclusive", first=chosen[0], second=chosen[1])
    for flag in chosen:
        if "xformers" in flag and importlib.util.find_spec("xformers") is None:
            yield draft.error(flag, "check.no_xformers")


@rule("train")
def precision_agrees(draft: Draft) -> Iterator[Finding]:
    """clip_skip is not for SD2; half precision wants a GPU."""
    if draft.get("clip_skip") and draft.get("v2"):
        yield draft.error("clip_skip", "check.clip_skip")
    if draft.get("mixed_precision") == "fp16" and devices.names() == ["cpu"]:
        yield draft.warning("mixed_precision", "check.fp16_on_cpu")


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
            yield draft.error(f"save_last_n_{unit}", "check.nothing_to_keep", needed=needed)
        if states and not (is_saved and draft.get("save_state")):
            yield draft.error(f"save_last_n_{unit}_state", "check.nothing_to_keep", needed=f"save_state, {needed}")


_WITH_REPOSITORY = ("huggingface_path_in_repo", "huggingface_repo_type", "huggingface_repo_visibility",
                    "save_state_to_huggingface", "async_upload")  # fmt: skip


@rule("train")
def uploads_possible(draft: Draft) -> Iterator[Finding]:
    """Uploads go to a repository and need a token; states are uploaded only where some are saved."""
    repository = draft.get("huggingface_repo_id")
    for flag in _WITH_REPOSITORY:
        if draft.get(flag) and not repository:
            yield draft.error(flag, "check.needs", flag=flag, needed="huggingface_repo_id")
    if repository and not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        yield draft.error("huggingface_repo_id", "check.hub_id")
    elif repository and not get_token():
        yield draft.error("huggingface_repo_id", "check.hub_token")
    saved = draft.get("save_state") or draft.get("save_state_on_train_end")
    if repository and draft.get("save_state_to_huggingface") and not saved:
        yield draft.error(
            "save_state_to_huggingface", "check.needs", flag="save_state_to_huggingface", needed="save_state"
        )
    if draft.get("resume_from_huggingface") and not draft.get("resume"):
        yield draft.error("resume_from_huggingface", "check.needs", flag="resume_from_huggingface", needed="resume")


@rule("train")
def space_left(draft: Draft) -> Iterator[Finding]:
    """What will be saved must fit."""
    plan, folder = training_plan(draft), draft.path("output_dir")
    each = saved_bytes(draft, base_model(draft))
    if folder is None or each is None:
        return
    needed, free = each * (plan.saves if plan else 1), found.free_bytes(folder)
    if needed > free:
        sizes = {"needed": size(needed), "free": size(free), "folder": folder}
        yield draft.error("output_dir", "check.no_space", **sizes)
