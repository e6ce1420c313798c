"""The example project: where make_example.py puts things, and the values that suit its tiny models."""

import sys
from pathlib import Path
from typing import Any

from kohya_gui.project import Project
from sd_scripts.library.io.atomic import write_json, write_text

NAME = "example"

PROMPTS = """\
# One prompt a line; options after it.
a photograph of a cat --w 128 --h 128 --d 1 --s 8
a cup of coffee on a wooden table --w 192 --h 128 --d 2 --s 8 --ss euler
"""


def example_project(folder: Path) -> Project:
    """The project in a folder that make_example.py fills; its values are written there at once."""
    write_text(folder / "prompts.txt", PROMPTS)
    write_json(folder / "values.json", _values(folder))
    return Project(
        name=NAME,
        pictures=[str(folder / "pictures")],
        model=str(folder / "models" / "sd1.safetensors"),
        work_dir=str(folder / "work"),
        output_name=NAME,
        values_file=str(folder / "values.json"),
    )


def example_run(folder: Path, repo: Path) -> dict[str, Any]:
    """The run that makes it."""
    script = repo / "sd_scripts" / "tools" / "make_example.py"
    return {
        "stage": "example",
        "name": NAME,
        "title": "Make the example project",
        "argv": [sys.executable, str(script), str(folder)],
        "work_dir": str(folder),
        "project": NAME,
    }


def _values(folder: Path) -> dict[str, dict[str, Any]]:
    models = folder / "models"
    return {
        "caption_blip": {"caption_weights": str(models / "blip"), "batch_size": 4, "max_length": 12},
        "tag_wd14": {"repo_id": str(models / "wd14"), "batch_size": 4},
        "tag_deepdanbooru": {"project_path": str(models / "deepdanbooru"), "batch_size": 4},
        "latents": {"max_resolution": "256,256", "min_bucket_reso": 128, "max_bucket_reso": 512, "batch_size": 4},
        "train": {
            "max_train_steps": 40,
            "train_batch_size": 2,
            "learning_rate": 1e-4,
            "save_every_n_steps": 20,
            "sample_every_n_steps": 20,
            "sample_prompts": str(folder / "prompts.txt"),
            "shuffle_caption": True,
            "keep_tokens": 1,
            "sdpa": True,
            "seed": 42,
            "max_data_loader_n_workers": 0,
        },
    }
