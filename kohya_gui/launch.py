"""From a checked stage to a run in the queue: its name, its command, and what makes it repeatable."""

import platform
import tomllib
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from kohya_gui import devices, pictures
from kohya_gui.checks import Checked
from kohya_gui.command import stage_argv
from kohya_gui.draft import Finding
from kohya_gui.launching import gpus_named
from kohya_gui.pipeline import Step
from kohya_gui.words import from_program
from sd_scripts.options.spec import flat_values, from_values

_PACKAGES = ("torch", "diffusers", "transformers", "accelerate", "onnxruntime", "onnxruntime-gpu")


def run_facts(checked: Checked, repo: Path, name: str) -> dict[str, Any]:
    """What a run's record says of a stage that may start. `values` are all of them, defaults too."""
    draft = checked.draft
    folder = draft.path("train_data_dir")
    return {
        "stage": draft.stage.id,
        "name": name,
        "title": draft.stage.title,
        "argv": stage_argv(draft.stage, draft.values, repo),
        "work_dir": str(draft.base),
        "values": flat_values(from_values(draft.stage.options, draft.values)),
        "project": draft.project.name or None,
        "devices": _devices(checked),
        "versions": versions(repo),
        "dataset": pictures.fingerprint(folder) if folder else {},
    }


def _devices(checked: Checked) -> list[str]:
    """The devices that a run needs for itself: the GPUs that its launcher is told, else all of them."""
    if not checked.draft.stage.heavy:
        return []
    return [f"gpu:{number}" for number in gpus_named(checked.draft.get("gpu_ids"))] or devices.names()


def run_name(checked: Checked) -> str:
    """What a run is called: the model that it trains, or the project with its folder."""
    draft = checked.draft
    if draft.stage.trains:
        return str(draft.get("output_name") or draft.project.name or "last")
    folder = draft.path("train_data_dir")
    several = len(draft.project.pictures) > 1
    names = [draft.project.name, folder.name if folder and (several or not draft.project.name) else ""]
    return " ".join(name for name in names if name) or draft.stage.id


def step_facts(step: Step, repo: Path) -> dict[str, Any]:
    """The same for a step of the pipeline."""
    return run_facts(step.checked, repo, run_name(step.checked))


def findings_json(findings: list[Finding]) -> list[dict[str, Any]]:
    """Findings as the page takes them."""
    return [
        {
            "level": one.level,
            "field": one.field,
            "text": from_program(one.text),
            "stage": one.stage,
            "fixes": [asdict(fix) for fix in one.fixes],
        }
        for one in findings
    ]


def versions(repo: Path) -> dict[str, str]:
    """The versions that a run's result depends on."""
    known = {"program": program_version(repo), "python": platform.python_version()}
    for package in _PACKAGES:
        try:
            known[package] = version(package)
        except PackageNotFoundError:
            continue
    return known


def program_version(repo: Path) -> str:
    """The version of this program."""
    with open(repo / "pyproject.toml", "rb") as stream:
        return str(tomllib.load(stream)["project"]["version"])
