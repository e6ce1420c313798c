"""The example project: where its maker puts things, so that the project can be shown while it is still being made."""

import sys
from pathlib import Path
from typing import Any

from kohya_gui.project import Project

NAME = "example"
STAGE = "example"


def example_project(folder: Path) -> Project:
    """The project in a folder that make_example.py fills."""
    return Project(
        name=NAME,
        pictures=[str(folder / "pictures")],
        model=str(folder / "model.safetensors"),
        work_dir=str(folder / "work"),
        output_name=NAME,
        values_file=str(folder / "values.json"),
    )


def example_run(folder: Path, repo: Path) -> dict[str, Any]:
    """The run that makes it."""
    script = repo / "sd_scripts" / "tools" / "make_example.py"
    return {
        "stage": STAGE,
        "name": NAME,
        "title": "Make the example project",
        "argv": [sys.executable, str(script), str(folder)],
        "work_dir": str(folder),
        "project": NAME,
    }
