"""What must be true before a start, each finding with its field; and what was found at every path."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

# The rules of training register themselves.
from kohya_gui import (  # noqa: F401
    caption_rules,
    contents,
    data_rules,
    dataset_rules,
    fixes,
    machine_rules,
    model_rules,
    noise_rules,
    picture_rules,
    pictures,
    rate_rules,
    saving_rules,
    tool_rules,
    try_rules,
    written,
)
from kohya_gui.at_path import told_of_path
from kohya_gui.command import absolute_values, is_data
from kohya_gui.draft import Draft, Finding, Fix, by_level
from kohya_gui.facts import FACTS, Fact
from kohya_gui.files import SHOWN_LETTERS, Roots, bare, is_usable
from kohya_gui.program_rules import in_reach, program_agrees, program_tells
from kohya_gui.project import Project, is_path
from kohya_gui.rules import RULES
from kohya_gui.stages import STAGES, Stage
from kohya_gui.words import bad_value, from_program, say
from sd_scripts.library.errors import UserError
from sd_scripts.options.spec import OptionSpec, PathKind
from sd_scripts.options.values import BadValue, changed_values, read_value

Confirmed = bool | list[str]
"""Whether warnings were confirmed, or the texts of those that were: another one asks again."""


@dataclass
class Checked:
    """The answer: per field an error or what was found, all findings, facts, and the values that could be read.

    `mends`: what would do in place of a value that cannot be read.
    """

    draft: Draft
    fields: dict[str, dict[str, str]] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    mends: dict[str, tuple[Fix, ...]] = field(default_factory=dict)

    def blocks(self, confirmed: Confirmed) -> bool:
        """Whether a start must wait: for errors always, for warnings until they were confirmed."""
        return stand_against(self.findings, confirmed)

    @property
    def pending(self) -> bool:
        """Whether more will be known soon."""
        return any(one.key == "check.looking" for one in self.findings) or any(one.unfinished for one in self.facts)


def stand_against(findings: Iterable[Finding], confirmed: Confirmed) -> bool:
    """Whether findings keep a start waiting: errors always do, warnings until they were confirmed."""
    told = {one.text for one in findings if one.level == "warning"} if confirmed is True else set(confirmed or ())
    return any(one.level == "error" or (one.level == "warning" and one.text not in told) for one in findings)


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
        elif spec.path and value and not no_path and flag not in checked.fields:
            _look(checked, spec, value if isinstance(value, list) else [value])
    wrong = {flag: facts["error"] for flag, facts in checked.fields.items() if "error" in facts}
    checked.findings += [_of_field(checked, flag, error) for flag, error in wrong.items()]
    # Of what the page may not reach nothing else is told either.
    checked.draft = replace(checked.draft, values=in_reach(checked.draft))
    _ask_rules(checked)
    checked.findings = by_level(fixes.with_usual(checked.draft, one) for one in checked.findings)
    checked.facts = FACTS[stage.tab](checked.draft)
    return checked


def _ask_rules(checked: Checked) -> None:
    """Adds what the rules find. What is wrong with a field is said once: a rule that blames it again adds nothing."""
    draft, findings = checked.draft, checked.findings
    for rule in [*RULES[draft.stage.id], program_agrees] if draft.stage.trains else RULES[draft.stage.id]:
        broken = {one.field for one in findings if one.level == "error"} - {None}
        findings += [one for one in rule(draft) if one.field not in broken]
    if draft.stage.trains:
        blamed = {one.field for one in findings}
        # A place that cannot be is not looked for.
        broken = {one.field for one in findings if one.level == "error"} & {"output_dir", "output_name"}
        rest = {flag: value for flag, value in draft.values.items() if flag not in broken}
        findings += [one for one in program_tells(replace(draft, values=rest)) if one.field not in blamed]


def _of_field(checked: Checked, flag: str, error: str) -> Finding:
    """What stands beside a field: with the value that would do, or the pictures that may be meant."""
    draft, spec = checked.draft, checked.draft.specs[flag]
    path = draft.path(flag) if flag in draft.values else None
    mend = _MENDS[spec.path](draft, flag, path) if path and spec.path in _MENDS else checked.mends.get(flag, ())
    return Finding("error", flag, error, mend)


def _for_pictures(draft: Draft, flag: str, folder: Path) -> tuple[Fix, ...]:
    """A folder that holds its pictures in folders below."""
    if "recursive" not in draft.specs or not folder.is_dir() or pictures.files_in(folder):
        return ()
    return (data_rules.include_below(draft), fixes.browse(flag)) if pictures.files_below(folder) else ()


def _for_metadata(draft: Draft, flag: str, path: Path) -> tuple[Fix, ...]:
    """A file that a stage still has to write."""
    writer = next((stage.id for stage in STAGES.values() if stage.writes == path.name), None)
    return (fixes.go(writer), fixes.browse(flag)) if writer and not path.exists() else ()


_MENDS: dict[str, Callable[[Draft, str, Path], tuple[Fix, ...]]] = {"pictures": _for_pictures, "json_in": _for_metadata}


def _read(checked: Checked, typed: dict[str, Any]) -> None:
    draft = checked.draft
    for flag in typed.keys() - draft.specs.keys():
        checked.findings.append(draft.error(flag, "check.unknown_flag", flag=flag))
    values: dict[str, Any] = {}
    draft.typed = {flag: value for flag, value in typed.items() if flag in draft.specs and not draft.specs[flag].secret}
    for flag, spec in draft.specs.items():
        try:
            value = typed.get(flag)
            if spec.secret and value:
                checked.fields[flag] = {"error": say("check.secret")}
                continue
            if isinstance(value, str) and spec.path and not spec.many:
                value = bare(value)
            value = read_value(spec, value)
            unusable = _unusable(value) if spec.path and spec.path != "state" else None
            if unusable:
                checked.fields[flag] = {"error": say("path.unusable", path=unusable[:SHOWN_LETTERS])}
                continue
            values[flag] = value
        except BadValue as error:
            checked.fields[flag] = {"error": _needed(spec) if error.key == "required" else bad_value(error)}
            checked.mends[flag] = fixes.for_value(draft, spec, error)
    draft.values = absolute_values(draft.stage, changed_values(draft.stage.options, values), draft.base)


def _unusable(value: Any) -> str | None:
    """The first of an option's paths that no system takes."""
    paths = value if isinstance(value, list) else [value]
    return next((one for one in paths if isinstance(one, str) and not is_data(one) and not is_usable(one)), None)


_NEEDED: dict[PathKind, str] = {
    "pictures": "path.pictures_needed",
    "model": "path.model_needed",
    "json_in": "path.metadata_needed",
    "json_out": "path.output_needed",
}


def _needed(spec: OptionSpec) -> str:
    return say(_NEEDED.get(spec.path or "file", "value.required"))


def _look(checked: Checked, spec: OptionSpec, paths: list[str]) -> None:
    """What is found at an option's paths: of several, how many there are."""
    draft = checked.draft
    try:
        told = [_told(draft, spec, path) for path in paths]
        checked.fields[spec.name] = {"found": told[0] if len(told) == 1 else say("found.several", n=len(told))}
    except UserError as error:
        # What stands there by default is no mistake of the user's.
        if spec.name in draft.values:
            checked.fields[spec.name] = {"error": from_program(str(error))}


def _told(draft: Draft, spec: OptionSpec, value: str) -> str:
    """Errors: UserError, where the option cannot use what lies there."""
    if spec.path in ("model", "vae") and not is_path(value):
        return contents.told_of_hub(value)
    path = draft.roots.inside(value, spec.name, draft.base)
    written.check_kind(spec, path)
    return say("found.will_come") if draft.will_come(path) else told_of_path(draft, spec, path)
