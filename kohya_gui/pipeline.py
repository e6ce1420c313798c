"""The whole pipeline as a chain of runs: each step reads what the one before it wrote; some may be left out."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kohya_gui import pictures
from kohya_gui.checks import Checked, check
from kohya_gui.draft import Finding, by_level
from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.rules import texts_of
from kohya_gui.stages import STAGES, TRAINERS, Stage, by_folder, stage_values
from kohya_gui.words import from_program, refusal, say

_CAPTIONERS = {"blip": "caption_blip", "git": "caption_git", "none": None}
_TAGGERS = {"wd14": "tag_wd14", "deepdanbooru": "tag_deepdanbooru", "none": None}

# What training needs where no latents were prepared, as long as the user says nothing else.
_WITHOUT_LATENTS = {"resolution": "512,512", "enable_bucket": True}


@dataclass(frozen=True)
class Choice:
    """Which stages are wanted, which training ends them, and what the user typed for them."""

    skip: frozenset[str]
    caption: str
    tagger: str
    clean: bool
    values: dict[str, dict[str, Any]]
    train: str = "train"


@dataclass(frozen=True)
class Step:
    """One run of the chain: a stage, for one folder where it works by folder."""

    stage: Stage
    folder_index: int
    values: dict[str, Any]
    checked: Checked


def chosen_stages(choice: Choice, project: Project) -> list[Stage]:
    """The stages that remain, in order. Errors: BadOption, for a name that is none, or when no text would be left."""
    if choice.caption not in _CAPTIONERS:
        raise refusal("caption", "value.not_a_choice", value=choice.caption, choices=", ".join(_CAPTIONERS))
    if choice.tagger not in _TAGGERS:
        raise refusal("tagger", "value.not_a_choice", value=choice.tagger, choices=", ".join(_TAGGERS))
    if choice.train not in TRAINERS:
        raise refusal("train", "value.not_a_choice", value=choice.train, choices=", ".join(TRAINERS))
    captioner, tagger = _CAPTIONERS[choice.caption], _TAGGERS[choice.tagger]
    wanted = {stage for stage in (captioner, tagger, _latents_for(choice.train), choice.train) if stage} - choice.skip
    # Texts that somebody wrote by hand are merged as well.
    if "merge_captions" not in choice.skip and (captioner in wanted or _texts(project, ".caption")):
        wanted.add("merge_captions")
    if "merge_tags" not in choice.skip and (tagger in wanted or _texts(project, ".txt")):
        wanted.add("merge_tags")
    if not wanted & {"merge_captions", "merge_tags"}:
        raise refusal("caption", "pipeline.no_texts")
    if choice.clean and "clean" not in choice.skip:
        wanted.add("clean")
    return [stage for stage in STAGES.values() if stage.id in wanted]


def _latents_for(train: str) -> str | None:
    """The stage that makes latents, where the training reads them."""
    return "latents" if STAGES["latents"].writes in STAGES[train].reads else None


def _texts(project: Project, extension: str) -> bool:
    folders = [Path(folder) for folder in project.pictures]
    return any(folder.is_dir() and pictures.facts_of(folder).texts[extension] for folder in folders)


def plan(project: Project, choice: Choice, roots: Roots) -> list[Step]:
    """The steps of the chain, each checked as if those before it had been done. Errors: BadOption."""
    if not project.pictures or not project.work_dir:
        raise refusal("pictures", "pipeline.project_needed")
    stages = chosen_stages(choice, project)
    steps: list[Step] = []
    coming: set[Path] = set()
    source: Path | None = None
    for stage in stages:
        for index in range(len(project.pictures) if stage.per_folder else 1):
            values = _step_values(stage, project, index, source, choice)
            steps.append(Step(stage, index, values, check(stage, values, project, roots, frozenset(coming))))
            coming |= {path.resolve() for path in _written(stage, project, index, values)}
        if stage.writes:
            source = Path(project.work_dir) / stage.writes
    return steps


def folder_steps(stage: Stage, values: dict[str, Any], project: Project, roots: Roots) -> list[Checked]:
    """A single stage for all folders of the project, each run checked as if those before it had been done."""
    steps: list[Checked] = []
    coming: set[Path] = set()
    for one in by_folder(stage, values, project):
        steps.append(check(stage, one, project, roots, frozenset(coming)))
        written = steps[-1].draft.path("out_json")
        coming |= {written.resolve()} if written else set()
    return steps


def _step_values(stage: Stage, project: Project, index: int, source: Path | None, choice: Choice) -> dict[str, Any]:
    filled = stage_values(stage, project, index, source).values
    if stage.reads and source is None and index == 0:
        # The first stage with metadata starts a new file, whatever earlier runs have left.
        filled.pop("in_json", None)
    typed = {flag: value for flag, value in choice.values.get(stage.id, {}).items() if flag not in _CHAINED}
    without_latents = stage.trains and source is not None and source.name != STAGES["latents"].writes
    return {**(_WITHOUT_LATENTS if without_latents else {}), **filled, **typed}


# These connect the chain: what stands in a form for a single run is not meant here.
_CHAINED = {"train_data_dir", "in_json", "out_json", "full_path"}


def _written(stage: Stage, project: Project, index: int, values: dict[str, Any]) -> set[Path]:
    if stage.writes:
        return {Path(project.work_dir) / stage.writes}
    if stage.tab in ("caption", "tag"):
        default = ".caption" if stage.tab == "caption" else ".txt"
        return {texts_of(Path(project.pictures[index]), values.get("caption_extension") or default)}
    return set()


def findings(steps: list[Step]) -> list[Finding]:
    """What stands against the chain, each with its stage's name in front; what is in order is left out."""
    seen: dict[tuple[str, str], Finding] = {}
    for step in steps:
        for one in step.checked.findings:
            if one.level in ("error", "warning"):
                text = say("pipeline.finding", stage=say(f"stage.{step.stage.id}"), text=from_program(one.text))
                seen.setdefault((step.stage.id, one.text), replace(one, text=text, stage=step.stage.id))
    return by_level(seen.values())
