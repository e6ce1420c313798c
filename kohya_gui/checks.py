"""What must be true before a start, each finding with its field; and what was found at every path."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# The rules of training register themselves.
from kohya_gui import (  # noqa: F401
    caption_rules,
    contents,
    dataset_rules,
    found,
    machine_rules,
    model_rules,
    noise_rules,
    picture_rules,
    rate_rules,
    saving_rules,
)
from kohya_gui.command import absolute_values, is_data
from kohya_gui.draft import Draft, Finding
from kohya_gui.facts import FACTS, Fact
from kohya_gui.files import SHOWN_LETTERS, Roots, bare, is_usable
from kohya_gui.program_rules import program_agrees
from kohya_gui.project import Project, check_pictures, is_path
from kohya_gui.rules import RULES
from kohya_gui.stages import Stage
from kohya_gui.words import bad_value, from_program, refusal, say, size
from sd_scripts.library.errors import BadOption, UserError
from sd_scripts.options.config_file import config_path
from sd_scripts.options.output import LARGEST_THUMBNAIL_BYTES
from sd_scripts.options.spec import OptionSpec, PathKind
from sd_scripts.options.values import BadValue, changed_values, read_value


@dataclass
class Checked:
    """The answer: per field an error or what was found, all findings, facts, and the values that could be read."""

    draft: Draft
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)

    def blocks(self, confirmed: bool) -> bool:
        """Whether a start must wait: for errors always, for warnings until they were confirmed."""
        levels = {finding.level for finding in self.findings}
        return "error" in levels or ("warning" in levels and not confirmed)


def check(
    stage: Stage, typed: dict[str, Any], project: Project, roots: Roots, coming: frozenset[Path] = frozenset()
) -> Checked:
    """Everything that can be told of a stage without running it, and without torch."""
    base = Path(project.work_dir) if project.work_dir else Path.home()
    checked = Checked(Draft(stage, project, roots, base, coming=coming))
    _read(checked, typed)
    for flag, spec in checked.draft.specs.items():
        value = checked.draft.get(flag)
        on_hub = spec.path == "state" and checked.draft.get("resume_from_huggingface")
        no_path = on_hub or is_data(value)
        if flag in dataset_rules.unused(checked.draft):
            if flag in checked.draft.values:
                checked.fields[flag] = {"found": say("found.not_used")}
        elif spec.path and isinstance(value, str) and value and not no_path and flag not in checked.fields:
            _look(checked, spec, value)
    errors = [Finding("error", flag, facts["error"]) for flag, facts in checked.fields.items() if "error" in facts]
    checked.findings = [*errors, *checked.findings]
    for rule in [*RULES[stage.id], program_agrees] if stage.id == "train" else RULES[stage.id]:
        # What is wrong with a field is said once: a rule that blames it again adds nothing.
        broken = {finding.field for finding in checked.findings if finding.level == "error"} - {None}
        checked.findings += [finding for finding in rule(checked.draft) if finding.field not in broken]
    checked.facts = FACTS[stage.tab](checked.draft)
    return checked


def _read(checked: Checked, typed: dict[str, Any]) -> None:
    draft = checked.draft
    for flag in typed.keys() - draft.specs.keys():
        checked.findings.append(draft.error(flag, "check.unknown_flag", flag=flag))
    values: dict[str, Any] = {}
    for flag, spec in draft.specs.items():
        try:
            value = typed.get(flag)
            if spec.secret and value:
                checked.fields[flag] = {"error": say("check.secret")}
                continue
            value = read_value(spec, bare(value) if isinstance(value, str) and spec.path else value)
            if spec.path and isinstance(value, str) and not is_data(value) and not is_usable(value):
                checked.fields[flag] = {"error": say("path.unusable", path=value[:SHOWN_LETTERS])}
                continue
            values[flag] = value
        except BadValue as error:
            checked.fields[flag] = {"error": _needed(spec) if error.key == "required" else bad_value(error)}
    draft.values = absolute_values(draft.stage, changed_values(draft.stage.options, values), draft.base)


_NEEDED: dict[PathKind, str] = {
    "pictures": "path.pictures_needed",
    "model": "path.model_needed",
    "json_in": "path.metadata_needed",
    "json_out": "path.output_needed",
}


def _needed(spec: OptionSpec) -> str:
    return say(_NEEDED.get(spec.path or "file", "value.required"))


def _look(checked: Checked, spec: OptionSpec, value: str) -> None:
    draft = checked.draft
    try:
        if spec.path in ("model", "vae") and not is_path(value):
            checked.fields[spec.name] = {"found": contents.told_of_hub(value)}
            return
        path = draft.roots.inside(value, spec.name, draft.base)
        text = say("found.will_come") if draft.will_come(path) else _LOOKS[spec.path or "file"](draft, spec.name, path)
        checked.fields[spec.name] = {"found": text}
    except UserError as error:
        # What stands there by default is no mistake of the user's.
        if spec.name in draft.values:
            checked.fields[spec.name] = {"error": from_program(str(error))}


def _pictures(draft: Draft, flag: str, path: Path) -> str:
    extension = draft.get("caption_extension")
    if draft.get("recursive") and path.is_dir() and (below := found.pictures_in(path).below):
        return say("found.images_below", n=below)
    if flag == "conditioning_data_dir" and (told := contents.told_of_masks(path, draft.path("train_data_dir"))):
        return told
    return check_pictures(path, flag).described(extension)


def _folder(draft: Draft, flag: str, path: Path) -> str:
    if not path.exists():
        return say("found.folder_will_be_made", free=found.size_free(path))
    if not path.is_dir():
        raise refusal(flag, "path.not_a_folder", path=path)
    return say("found.free", free=found.size_free(path))


def _model(draft: Draft, flag: str, path: Path) -> str:
    # Captioners are folders as transformers saves them.
    if draft.stage.tab == "caption" and (path / "config.json").is_file():
        return say("found.model_folder")
    model = found.model_at(path)
    if model is None:
        raise refusal(flag, "path.no_model" if path.exists() else "path.no_file", path=path)
    return model.describe()


def _json_in(draft: Draft, flag: str, path: Path) -> str:
    if not path.is_file():
        raise refusal(flag, "path.no_metadata", path=path)
    entries = found.metadata_at(path)
    if isinstance(entries, str):
        raise BadOption(flag, entries)
    return contents.told_of_metadata(entries)


def _json_out(draft: Draft, flag: str, path: Path) -> str:
    if path.is_dir():
        raise refusal(flag, "path.is_a_folder", path=path)
    return say("found.will_be_replaced" if path.exists() else "found.will_be_made")


def _file(draft: Draft, flag: str, path: Path) -> str:
    path = config_path(str(path)) if flag == "config_file" else path
    if path.is_dir():
        raise refusal(flag, "path.is_a_folder", path=path)
    if not path.is_file():
        raise refusal(flag, "path.no_file", path=path)
    return contents.told(flag, path)


def _file_out(draft: Draft, flag: str, path: Path) -> str:
    if not path.exists():
        return say("found.will_be_made")
    _file(draft, flag, path)
    return say("found.will_be_continued", size=size(path.stat().st_size))


def _picture(draft: Draft, flag: str, path: Path) -> str:
    _file(draft, flag, path)
    if path.stat().st_size > LARGEST_THUMBNAIL_BYTES:
        raise refusal(flag, "path.picture_too_large", limit=size(LARGEST_THUMBNAIL_BYTES))
    return contents.told_of_picture(path)


def _deepdanbooru(draft: Draft, flag: str, path: Path) -> str:
    if not (path / "project.json").is_file():
        raise refusal(flag, "path.no_deepdanbooru", path=path)
    return say("found.model_folder")


def _state(draft: Draft, flag: str, path: Path) -> str:
    if not (path / "state.json").is_file():
        raise refusal(flag, "path.no_state", path=path)
    return contents.told_of_state(path)


_LOOKS: dict[str, Callable[[Draft, str, Path], str]] = {
    "pictures": _pictures,
    "folder": _folder,
    "model": _model,
    "vae": _model,
    "json_in": _json_in,
    "json_out": _json_out,
    "file": _file,
    "file_out": _file_out,
    "picture": _picture,
    "project": _deepdanbooru,
    "state": _state,
}
