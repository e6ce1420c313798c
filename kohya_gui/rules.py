"""Rules of a start that look at more than one field. A rule gives its findings; a new one is a marked function."""

from collections.abc import Callable, Iterator
from pathlib import Path

from kohya_gui import fixes, found, pictures
from kohya_gui.asked_buckets import asked_buckets, mends
from kohya_gui.draft import Draft, Finding, Fix, once
from kohya_gui.files import can_write
from kohya_gui.listed import Listed
from kohya_gui.project import is_path
from kohya_gui.stages import STAGES, TRAINERS, training_of
from kohya_gui.words import say
from sd_scripts.library.errors import BadOption
from sd_scripts.library.io.headers import ModelFacts

Rule = Callable[[Draft], Iterator[Finding]]

RULES: dict[str, list[Rule]] = {stage: [] for stage in STAGES}

_TEXT_STAGES = ("caption_blip", "caption_git", "tag_wd14", "tag_deepdanbooru")
_MERGES = ("merge_captions", "merge_tags")
_FILES_OUT = ("json_out", "file_out", "model_out")
_BESIDE_PICTURES = ("caption", "tag", "latents")

# Captions may stand in .txt files; captions are no tags.
_OTHER_TEXTS = {"merge_captions": (".caption", ".txt"), "merge_tags": (".txt",)}


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
    left_alone = any(draft.get(flag) for flag in ("append_tags", "skip_described", "output_path"))
    if folder and folder.is_dir() and not left_alone:
        there = pictures.facts_of(folder).texts[extension]
        if there:
            ways = [fixes.turn_on(draft, flag) for flag in ("skip_described", "append_tags") if flag in draft.specs]
            yield draft.warning("caption_extension", "check.texts_replaced", *ways, n=there, ext=extension)


@rule("tag_wd14")
def texts_left_alone_or_continued(draft: Draft) -> Iterator[Finding]:
    """Tags are not added to texts that are left alone."""
    both = ("skip_described", "append_tags")
    if all(draft.get(flag) for flag in both):
        keep = fixes.keep_each(draft, *both)
        yield draft.error("skip_described", "check.exclusive", *keep, first="append_tags", second="skip_described")


@rule("tag_deepdanbooru")
def deepdanbooru_named(draft: Draft) -> Iterator[Finding]:
    """DeepDanbooru needs its project, or model and tags."""
    if not draft.get("project_path") and not (draft.get("model_path") and draft.get("tags_path")):
        yield draft.error("project_path", "check.deepdanbooru_needed", fixes.browse("project_path"))


@rule(*_MERGES)
def texts_there(draft: Draft) -> Iterator[Finding]:
    """There must be texts of the ending that is asked for."""
    folder, extension = draft.path("train_data_dir"), draft.get("caption_extension")
    if folder is None or not folder.is_dir() or draft.get("recursive") or draft.will_come(texts_of(folder, extension)):
        return
    facts = pictures.facts_of(folder)
    if facts.images and not facts.texts[extension]:
        other = next((ext for ext in _OTHER_TEXTS[draft.stage.id] if ext != extension and facts.texts[ext]), None)
        if other:
            counts = {"ext": extension, "other": other, "n": facts.texts[other]}
            use = Fix(say("fix.use", value=other), {"caption_extension": other})
            yield draft.error("caption_extension", "check.other_texts", use, **counts)
        else:
            key = "check.tag_first" if draft.stage.id == "merge_tags" else "check.caption_first"
            yield draft.error("caption_extension", key, _writer(draft), ext=extension)
    elif facts.texts[extension] < facts.images:
        without = pictures.textless_in(folder, extension)
        counts = {"n": len(without), "ext": extension, "there": facts.texts[extension], "all": facts.images}
        yield draft.warning("train_data_dir", "check.some_without_text", fixes.show(without), _writer(draft), **counts)
    elif facts.images:
        yield draft.fine("check.all_with_text", n=facts.images)


def _writer(draft: Draft) -> Fix:
    """The stage that writes the texts which a merge reads."""
    return fixes.go("tag_wd14" if draft.stage.id == "merge_tags" else "caption_blip")


@rule(*_MERGES, "latents")
def recursive_needs_full_path(draft: Draft) -> Iterator[Finding]:
    """Folders within folders need full paths as keys."""
    if draft.get("recursive") and not draft.get("full_path"):
        yield draft.error("full_path", "check.full_path_needed", fixes.turn_on(draft, "full_path"))


@rule(*_MERGES, "clean", "latents")
def output_exists(draft: Draft) -> Iterator[Finding]:
    """A file that the user named, not the project, is not replaced without asking."""
    path = draft.path("out_json")
    if path and path.exists() and not draft.linked("out_json") and path != draft.path("in_json"):
        free = fixes.free_name(path.stem, lambda stem: path.with_stem(stem).exists())
        other = fixes.rename(draft, "out_json", str(path.with_stem(free)))
        yield draft.warning("out_json", "check.exists", other, path=path.name)


@rule("merge_captions", "merge_tags", "latents")
def keys_agree(draft: Draft) -> Iterator[Finding]:
    """Full paths and bare names do not mix in one metadata file."""
    entries = entries_of(draft)
    full = draft.get("full_path")
    if entries and full != Path(entries.first).is_absolute():
        turned = fixes.turn_off(draft, "full_path") if full else fixes.turn_on(draft, "full_path")
        yield draft.error("full_path", "check.keys_are_names" if full else "check.keys_are_paths", turned)


@rule(*TRAINERS, "latents")
def buckets_possible(draft: Draft) -> Iterator[Finding]:
    """Pictures can be brought into buckets of these sizes."""
    try:
        asked_buckets(draft)
    except BadOption as error:
        yield Finding("error", error.option, str(error), mends(draft, error.option))


# {what a file is: (the family that it belongs to, what to say where another one is trained)}
_FAMILIES = {
    "sd1": ("sd", "check.is_sd"),
    "sd2": ("sd", "check.is_sd"),
    "sdxl": ("sdxl", "check.is_sdxl"),
}


@rule(*TRAINERS)
def family_agrees(draft: Draft) -> Iterator[Finding]:
    """The model is of the family that is trained; where not, the switch to the other one is offered."""
    model, flag = base_model(draft), draft.stage.model_flag or ""
    family, key = _FAMILIES.get(model.kind, (draft.stage.family, "")) if model else (draft.stage.family, "")
    if family != draft.stage.family:
        other = training_of(draft.stage.method or "", family or "")
        given = {} if draft.linked(flag) else {flag: draft.get(flag)}
        switch = [fixes.go(other.id, **given)] if other else []
        yield draft.error(flag, key, *switch, fixes.browse(flag))


@rule("latents")
def latents_are_not_for_sdxl(draft: Draft) -> Iterator[Finding]:
    """Trainings of SDXL make their latents themselves."""
    model, flag = base_model(draft), draft.stage.model_flag or ""
    if model and model.kind == "sdxl":
        yield draft.error(flag, "check.sdxl_latents", fixes.go("sdxl_full"), fixes.browse(flag))


@rule(*TRAINERS, "latents")
def v2_agrees(draft: Draft) -> Iterator[Finding]:
    """The flag v2 says what the file says."""
    model = base_model(draft) if "v2" in draft.specs else None
    if model and model.kind == "sd2" and not draft.get("v2"):
        yield draft.error("v2", "check.v2_off", fixes.turn_on(draft, "v2"))
    elif model and model.kind == "sd1" and draft.get("v2"):
        yield draft.error("v2", "check.v2_on", fixes.turn_off(draft, "v2"))


@rule(*STAGES)
def can_be_written(draft: Draft) -> Iterator[Finding]:
    """Every place that is written to takes a file."""
    writes_beside_pictures = draft.stage.tab in _BESIDE_PICTURES
    for flag, spec in draft.specs.items():
        path = draft.path(flag) if spec.path else None
        if path is None or path == Path(spec.default or ""):
            continue
        written = spec.path in ("folder", *_FILES_OUT) or (spec.path == "pictures" and writes_beside_pictures)
        if written and not can_write(path.parent if spec.path in _FILES_OUT else path):
            yield draft.error(flag, "path.not_writable", path=path)


@once
def entries_of(draft: Draft) -> Listed | None:
    """The entries of the metadata that a stage reads; None as long as there are none, and where others are trained."""
    path = draft.path("in_json")
    if draft.get("dataset_config") or draft.get("dataset_class"):
        return None
    if path is None or draft.will_come(path) or not path.is_file():
        return None
    entries = found.metadata_at(path)
    return None if isinstance(entries, str) else entries


def folders_read(draft: Draft) -> bool:
    """Whether a training reads folders of pictures, as neither metadata nor a file of datasets is named."""
    named = (draft.get(flag) for flag in ("in_json", "dataset_config", "dataset_class"))
    return draft.stage.reads_folders and not any(named)


def texts_of(folder: Path, extension: str) -> Path:
    """How a draft's `coming` names the text files that an earlier stage will write into a folder."""
    return folder / f"*{extension}"


def base_model(draft: Draft) -> ModelFacts | None:
    """What is known of the model that a stage starts from; None where it is none, or still to be downloaded."""
    name = draft.get(draft.stage.model_flag or "")
    return found.model_at(Path(name)) if name and is_path(name) else None
