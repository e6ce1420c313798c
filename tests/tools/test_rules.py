"""What the page finds before a tool is started."""

from pathlib import Path
from typing import Any

import pytest

from kohya_gui.checks import Checked, check
from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.stages import STAGES, stage_values
from tests.tools.conftest import picture


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with pictures, a folder that is not empty, and one that is."""
    picture(tmp_path / "pics" / "a.png", (8, 8))
    (tmp_path / "full" / "img").mkdir(parents=True)
    (tmp_path / "full" / "img" / "mine.txt").write_text("kept", encoding="utf-8")
    (tmp_path / "empty").mkdir()
    return tmp_path


def looked(place: Path, tool: str, **typed: Any) -> Checked:
    return check(STAGES[tool], typed, Project(name="x"), Roots([place]))


def blamed(checked: Checked) -> dict[str | None, str]:
    return {one.field: one.text for one in checked.findings if one.level == "error"}


TARGETS = {
    "make_folders": ("train_pictures", "output_folder"),
    "group_images": ("input_folder", "output_folder"),
    "resize_images": ("src_img_folder", "dst_img_folder"),
}


@pytest.mark.parametrize("tool", TARGETS)
def test_a_full_folder_is_said_and_mended(place: Path, tool: str) -> None:
    source, flag = TARGETS[tool]
    typed = {source: str(place / "pics")}
    found = looked(place, tool, **typed, **{flag: str(place / "full")})
    assert "is not empty" in blamed(found)[flag]
    mend = next(one for one in found.findings if one.field == flag).fixes[0]
    assert mend.values == {"add_to_existing": True}
    assert flag not in blamed(looked(place, tool, **typed, **{flag: str(place / "full")}, **mend.values))
    assert flag not in blamed(looked(place, tool, **typed, **{flag: str(place / "empty")}))


def test_what_is_missing_is_said_at_its_field(place: Path) -> None:
    assert set(blamed(looked(place, "merge_models"))) == {"models", "output"}
    assert {"train_pictures", "instance_prompt"} <= set(blamed(looked(place, "make_folders")))
    caching = looked(place, "cache_latents", train_data_dir=str(place / "pics"))
    assert set(blamed(caching)) == {"pretrained_model_name_or_path", "resolution"}
    assert "output_folder" in blamed(looked(place, "edit_captions", folder=str(place / "pics")))
    both = {"folder": str(place / "pics"), "output_folder": str(place / "empty"), "in_place": True}
    assert "Choose one" in blamed(looked(place, "edit_captions", **both))["output_folder"]


def test_a_model_is_not_converted_into_a_full_folder(place: Path) -> None:
    found = looked(place, "convert_model", model_to_load=str(place / "x"), model_to_save=str(place / "full"))
    assert "is not empty" in blamed(found)["model_to_save"]


def test_a_folder_of_concepts_is_counted_below(place: Path) -> None:
    picture(place / "db" / "3_sks dog" / "a.png", (8, 8))
    found = looked(place, "cache_latents", train_data_dir=str(place / "db"))
    assert "1" in found.fields["train_data_dir"]["found"]
    assert "found" in looked(place, "balance_dataset", folder=str(place / "db")).fields["folder"]


def test_tools_take_what_the_project_gives(place: Path) -> None:
    project = Project(name="x", pictures=[str(place / "pics")], model="m.safetensors", work_dir=str(place))
    assert stage_values(STAGES["edit_captions"], project).values == {"folder": str(place / "pics")}
    taken = stage_values(STAGES["cache_texts"], project).values
    assert taken == {"train_data_dir": str(place / "pics"), "pretrained_model_name_or_path": "m.safetensors"}
    assert stage_values(STAGES["convert_model"], project).values == {"model_to_load": "m.safetensors"}
