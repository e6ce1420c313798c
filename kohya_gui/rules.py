"""Rules of a start that look at more than one field. A rule gives its findings; a new one is a marked function."""

import importlib.util
from collections.abc import Callable, Iterator
from pathlib import Path

from kohya_gui import devices, found
from kohya_gui.draft import Draft, Finding
from kohya_gui.facts import saved_bytes, training_plan
from kohya_gui.files import can_write
from kohya_gui.project import is_path
from kohya_gui.stages import STAGES
from kohya_gui.words import size
from sd_scripts.library.data.buckets import BucketRules, checked_rules, parse_resolution
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.headers import ModelFacts
from sd_scripts.library.io.metadata import Metadata

Rule = Callable[[Draft], Iterator[Finding]]

RULES: dict[str, list[Rule]] = {stage: [] for stage in STAGES}

_TEXT_STAGES = ("caption_blip", "caption_git", "tag_wd14", "tag_deepdanbooru")
_MERGES = ("merge_captions", "merge_tags")

# A whole model forgets above this; below, nothing is learnt.
_HIGH_RATE, _LOW_RATE = 1e-4, 1e-8


def rule(*stages: str) -> Callable[[Rule], Rule]:
    """Marks a function as a rule of these stages."""

    def marked(function: Rule) -> Rule:
        for stage in stages:
            RULES[stage].append(function)
        return function

    return marked


@rule(*_TEXT_STAGES)
def texts_replaced(draft: Draft) -> Iterator[Finding]:
    """Texts that are there already would be lost."""
    folder, extension = draft.path("train_data_dir"), draft.get("caption_extension")
    if folder and folder.is_dir() and not draft.get("append_tags") and not draft.get("output_path"):
        there = found.pictures_in(folder).texts[extension]
        if there:
            yield draft.warning("caption_extension", "check.texts_replaced", n=there, ext=extension)


@rule("tag_deepdanbooru")
def deepdanbooru_named(draft: Draft) -> Iterator[Finding]:
    """DeepDanbooru needs its project, or model and tags."""
    if not draft.get("project_path") and not (draft.get("model_path") and draft.get("tags_path")):
        yield draft.error("project_path", "check.deepdanbooru_needed")


@rule(*_MERGES)
def texts_there(draft: Draft) -> Iterator[Finding]:
    """There must be texts of the ending that is asked for."""
    folder, extension = draft.path("train_data_dir"), draft.get("caption_extension")
    if folder is None or not folder.is_dir() or draft.get("recursive") or draft.will_come(texts_of(folder, extension)):
        return
    facts = found.pictures_in(folder)
    if facts.images and not facts.texts[extension]:
        other = next((ext for ext in (".caption", ".txt") if ext != extension and facts.texts[ext]), None)
        if other:
            yield draft.error(
                "caption_extension", "check.other_texts", ext=extension, other=other, n=facts.texts[other]
            )
        else:
            yield draft.error("caption_extension", "check.no_texts", ext=extension)
    elif facts.texts[extension] < facts.images:
        missing = facts.images - facts.texts[extension]
        yield draft.warning(None, "check.some_without_text", n=missing, ext=extension)
    elif facts.images:
        yield draft.fine("check.all_with_text", n=facts.images)


@rule(*_MERGES, "latents")
def recursive_needs_full_path(draft: Draft) -> Iterator[Finding]:
    """Folders within folders need full paths as keys."""
    if draft.get("recursive") and not draft.get("full_path"):
        yield draft.error("full_path", "check.full_path_needed")


@rule(*_MERGES, "clean", "latents")
def output_exists(draft: Draft) -> Iterator[Finding]:
    """A file that the user named, not the project, is not replaced without asking."""
    path = draft.path("out_json")
    if path and path.exists() and not draft.linked("out_json") and path != draft.path("in_json"):
        yield draft.warning("out_json", "check.exists", path=path.name)


@rule("merge_captions", "merge_tags", "latents")
def keys_agree(draft: Draft) -> Iterator[Finding]:
    """Full paths and bare names do not mix in one metadata file."""
    entries = _entries(draft)
    full = draft.get("full_path")
    if entries and full != Path(next(iter(entries))).is_absolute():
        yield draft.error("full_path", "check.keys_are_names" if full else "check.keys_are_paths")


@rule("train")
def model_needed(draft: Draft) -> Iterator[Finding]:
    """Training starts from a model."""
    if not draft.get("pretrained_model_name_or_path"):
        yield draft.error("pretrained_model_name_or_path", "path.model_needed")


@rule("train")
def data_needed(draft: Draft) -> Iterator[Finding]:
    """Training needs metadata, and with bare names the folder that they stand in."""
    if not draft.get("in_json"):
        yield draft.error("in_json", "check.in_json_needed")
    entries = _entries(draft)
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
    if Path(name).name != name:
        yield draft.error("output_name", "project.output_name_unsafe")
    there = [path for path in (folder / f"{name}{ext}" for ext in (".safetensors", ".ckpt", "")) if path.exists()]
    if there:
        yield draft.warning("output_name", "check.exists", path=there[0].name)


@rule("train")
def texts_in_metadata(draft: Draft) -> Iterator[Finding]:
    """Pictures without any text are not trained."""
    entries = _entries(draft) or {}
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
    entries = _entries(draft) or {}
    without = sum("train_resolution" not in entry for entry in entries.values())
    if without and not draft.get("resolution"):
        yield draft.error("resolution", "check.resolution_needed", n=without)


@rule("train", "latents")
def buckets_possible(draft: Draft) -> Iterator[Finding]:
    """Pictures can be brought into buckets of these sizes."""
    option = "resolution" if draft.stage.id == "train" else "max_resolution"
    text = draft.get(option)
    if not text:
        return
    sizes = {name: draft.get(f"{name}_bucket_reso") for name in ("min", "max")}
    one_size = draft.stage.id == "train" and not draft.get("enable_bucket")
    try:
        resolution_px = parse_resolution(text, option)
        step_px, no_upscale = draft.get("bucket_reso_steps"), draft.get("bucket_no_upscale")
        checked_rules(BucketRules(resolution_px, sizes["min"], sizes["max"], step_px, no_upscale, one_size), option)
    except BadOption as error:
        yield Finding("error", error.option, str(error))


@rule("train", "latents")
def v2_agrees(draft: Draft) -> Iterator[Finding]:
    """The flag v2 says what the file says."""
    model = _base_model(draft)
    if model and model.kind == "sdxl":
        yield draft.error(draft.stage.model_flag, "check.sdxl")
    elif model and model.kind == "sd2" and not draft.get("v2"):
        yield draft.error("v2", "check.v2_off")
    elif model and model.kind == "sd1" and draft.get("v2"):
        yield draft.error("v2", "check.v2_on")


@rule("train")
def v_prediction_agrees(draft: Draft) -> Iterator[Finding]:
    """So does v_parameterization, where the file tells."""
    model = _base_model(draft)
    if model and model.prediction_type == "v_prediction" and not draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_off")
    if model and model.prediction_type == "epsilon" and draft.get("v_parameterization"):
        yield draft.warning("v_parameterization", "check.v_on")


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
    """fp16 weights need fp16 computation; clip_skip is not for SD2; half precision wants a GPU."""
    if draft.get("full_fp16") and draft.get("mixed_precision") != "fp16":
        yield draft.error("full_fp16", "check.full_fp16")
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


@rule("train")
def rate_usual(draft: Draft) -> Iterator[Finding]:
    """A learning rate far from the usual is most often a slip of the pen."""
    rate = draft.get("learning_rate")
    if rate is not None and not _LOW_RATE <= rate <= _HIGH_RATE:
        yield draft.warning("learning_rate", "check.rate_unusual", rate=rate)


@rule("train")
def space_left(draft: Draft) -> Iterator[Finding]:
    """What will be saved must fit."""
    plan, folder = training_plan(draft), draft.path("output_dir")
    each = saved_bytes(draft, _base_model(draft))
    if folder is None or each is None:
        return
    needed, free = each * (plan.saves if plan else 1), found.free_bytes(folder)
    if needed > free:
        sizes = {"needed": size(needed), "free": size(free), "folder": folder}
        yield draft.error("output_dir", "check.no_space", **sizes)


@rule(*STAGES)
def can_be_written(draft: Draft) -> Iterator[Finding]:
    """Every place that is written to takes a file."""
    writes_beside_pictures = draft.stage.id not in (*_MERGES, "clean", "train")
    for flag, spec in draft.specs.items():
        path = draft.path(flag) if spec.path else None
        if path is None or path == Path(spec.default or ""):
            continue
        written = spec.path in ("folder", "json_out") or (spec.path == "pictures" and writes_beside_pictures)
        if written and not can_write(path.parent if spec.path == "json_out" else path):
            yield draft.error(flag, "path.not_writable", path=path)


def _entries(draft: Draft) -> Metadata | None:
    path = draft.path("in_json")
    if path is None or draft.will_come(path) or not path.is_file():
        return None
    entries = found.metadata_at(path)
    return None if isinstance(entries, str) else entries


def texts_of(folder: Path, extension: str) -> Path:
    """How a draft's `coming` names the text files that an earlier stage will write into a folder."""
    return folder / f"*{extension}"


def _base_model(draft: Draft) -> ModelFacts | None:
    name = draft.get(draft.stage.model_flag or "")
    return found.model_at(Path(name)) if name and is_path(name) else None
