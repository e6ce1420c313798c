"""Presets as this program writes them into files, of this version and of earlier ones."""

from typing import Any

from kohya_gui.importing.report import Report
from kohya_gui.importing.taker import Taker
from kohya_gui.presets import migrated
from kohya_gui.stages import STAGES
from kohya_gui.words import refusal


def is_ours(found: dict[str, Any]) -> bool:
    """Whether a JSON object is one of our presets."""
    return {"version", "stage", "values"} <= found.keys()


def read_ours(found: dict[str, Any]) -> Report:
    """The report of a preset's file. Errors: BadOption, for one of a newer version or a damaged one."""
    try:
        saved = migrated(found)
    except ValueError as error:
        raise refusal("text", "import.newer", version=found["version"]) from error
    values, stage = saved["values"], saved["stage"]
    if stage not in STAGES:
        raise refusal("stage", "stage.unknown", stage=stage)
    if not isinstance(values, dict):
        raise refusal("text", "import.unknown_json")
    report = Report("ours", stage, str(saved.get("name", "")), str(saved.get("description", "")))
    taker = Taker(report)
    for flag, given in values.items():
        taker.take(flag, given)
    return report
