"""The chain: what each step reads and writes, with every optional stage left out, and with several folders."""

from pathlib import Path

import pytest
from PIL import Image

from kohya_gui.files import Roots
from kohya_gui.pipeline import Choice, plan
from kohya_gui.project import Project, described
from kohya_gui.stages import STAGES, TRAINERS, stage_values
from sd_scripts.library.errors import BadOption
from sd_scripts.options.spec import option_specs


def project_in(place, *folders):
    for folder in folders:
        (place / folder).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(place / folder / "a.png")
    pictures = [str(place / folder) for folder in folders]
    return Project("meadow", pictures, "owner/model", str(place / "work"), "meadow")


def steps_of(project, caption="blip", tagger="wd14", clean=True, skip=(), values=None, train="train"):
    choice = Choice(frozenset(skip), caption, tagger, clean, values or {}, train)
    return plan(project, choice, Roots([Path(project.work_dir).parent]))


def chain(steps):
    """[(stage, what it reads, what it writes)] with file names only."""
    name = lambda step, flag: Path(step.values.get(flag, "")).name  # noqa: E731
    return [(step.stage.id, name(step, "in_json"), name(step, "out_json")) for step in steps]


FULL = [
    ("caption_blip", "", ""),
    ("tag_wd14", "", ""),
    ("merge_captions", "", "meta_cap.json"),
    ("merge_tags", "meta_cap.json", "meta_cap_dd.json"),
    ("clean", "meta_cap_dd.json", "meta_clean.json"),
    ("latents", "meta_clean.json", "meta_lat.json"),
    ("train", "meta_lat.json", ""),
]


def test_the_whole_chain(tmp_path):
    steps = steps_of(project_in(tmp_path, "pics"))
    assert chain(steps) == FULL
    errors = [f for step in steps for f in step.checked.findings if f.level == "error"]
    assert errors == [], "what earlier steps write is not missed"


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ({"tagger": "none"}, [FULL[0], FULL[2], ("clean", "meta_cap.json", "meta_clean.json"), *FULL[5:]]),
        (
            {"caption": "none", "tagger": "deepdanbooru"},
            [("tag_deepdanbooru", "", ""), ("merge_tags", "", "meta_cap_dd.json"), *FULL[4:]],
        ),
        ({"clean": False}, [*FULL[:4], ("latents", "meta_cap_dd.json", "meta_lat.json"), FULL[6]]),
        ({"skip": ["latents"]}, [*FULL[:5], ("train", "meta_clean.json", "")]),
        (
            {"tagger": "none", "clean": False, "skip": ["train"]},
            [FULL[0], FULL[2], ("latents", "meta_cap.json", "meta_lat.json")],
        ),
    ],
)
def test_a_stage_left_out_closes_the_chain_over_itself(tmp_path, choice, expected):
    # Files that earlier runs have left are not taken for those of this one.
    project = project_in(tmp_path, "pics")
    Path(project.work_dir).mkdir()
    for name in ("meta_cap.json", "meta_cap_dd.json", "meta_clean.json", "meta_lat.json"):
        (Path(project.work_dir) / name).write_text("{}")
    assert chain(steps_of(project, **choice)) == expected


def test_without_latents_the_resolution_is_set(tmp_path):
    project = project_in(tmp_path, "pics")
    assert steps_of(project, skip=["latents"])[-1].values["resolution"] == "512,512"
    typed = steps_of(project, skip=["latents"], values={"train": {"resolution": "64"}})[-1].values
    assert (typed["resolution"], typed["enable_bucket"]) == ("64", True)
    assert "resolution" not in steps_of(project)[-1].values


def test_several_folders_are_chained_by_full_path(tmp_path):
    steps = steps_of(project_in(tmp_path, "one", "two"), tagger="none", clean=False)
    assert [(step.stage.id, step.folder_index) for step in steps] == [
        ("caption_blip", 0), ("caption_blip", 1), ("merge_captions", 0), ("merge_captions", 1),
        ("latents", 0), ("latents", 1), ("train", 0),
    ]  # fmt: skip
    assert [names for names in chain(steps) if names[0] in ("merge_captions", "latents")] == [
        ("merge_captions", "", "meta_cap.json"), ("merge_captions", "meta_cap.json", "meta_cap.json"),
        ("latents", "meta_cap.json", "meta_lat.json"), ("latents", "meta_lat.json", "meta_lat.json"),
    ]  # fmt: skip
    assert all(step.values["full_path"] for step in steps if step.stage.writes)
    assert "train_data_dir" not in steps[-1].values


def test_a_folder_of_named_folders_is_read_with_those_below_it(tmp_path):
    """Trainings read such a folder by itself; metadata has the pictures' full paths."""
    project = project_in(tmp_path, "img/5_sks dog", "img/2_dog")
    project.pictures = [str(tmp_path / "img")]
    for stage in ("caption_blip", "merge_captions", "latents"):
        assert stage_values(STAGES[stage], project).values["recursive"] is True
    of_folder = stage_values(STAGES["train_lora"], project).values
    assert (of_folder["train_data_dir"], of_folder["resolution"]) == (project.pictures[0], "512,512")
    assert "train_data_dir" not in stage_values(STAGES["train"], project).values
    assert "2" in described(project)["pictures"]


def test_texts_that_are_there_are_merged_without_their_stage(tmp_path):
    project = project_in(tmp_path, "pics")
    with pytest.raises(BadOption, match="no text"):
        steps_of(project, caption="none", tagger="none")
    (tmp_path / "pics" / "a.txt").write_text("tag")
    assert [s.stage.id for s in steps_of(project, caption="none", tagger="none")][:2] == ["merge_tags", "clean"]


def test_values_reach_their_stage_but_never_break_the_chain(tmp_path):
    typed = {"train": {"max_train_steps": 7, "in_json": "other.json"}, "latents": {"out_json": "other.json"}}
    steps = steps_of(project_in(tmp_path, "pics"), values=typed)
    assert chain(steps) == FULL
    assert steps[-1].values["max_train_steps"] == 7


def test_what_is_wrong_is_said_with_its_stage(tmp_path):
    from kohya_gui.pipeline import findings

    steps = steps_of(project_in(tmp_path, "pics"), values={"train": {"learning_rate": "abc"}})
    (error,) = [f for f in findings(steps) if f.level == "error"]
    assert error.text.startswith("Fine-tuning: ") and error.field == "learning_rate"
    with pytest.raises(BadOption):
        steps_of(project_in(tmp_path, "more"), caption="magic")


def test_a_stage_alone_takes_the_best_that_is_there(tmp_path):
    project = project_in(tmp_path, "pics")
    work = Path(project.work_dir)
    work.mkdir()
    latents = lambda: stage_values(STAGES["latents"], project)  # noqa: E731
    assert latents().values["in_json"] == str(work / "meta_clean.json")
    (work / "meta_cap.json").write_text("{}")
    assert latents().values["in_json"] == str(work / "meta_cap.json")
    assert latents().links == {
        "train_data_dir": "Project", "model_name_or_path": "Project", "in_json": "Metadata", "out_json": "Project",
    }  # fmt: skip
    assert "in_json" in stage_values(STAGES["merge_tags"], project).values
    assert stage_values(STAGES["train"], project).values["output_dir"] == str(work / "output")


@pytest.mark.parametrize("train", TRAINERS)
def test_the_chain_ends_with_the_chosen_training(tmp_path, train):
    """Trainings of SDXL make their latents themselves; each reads what the last step before it wrote."""
    steps = steps_of(project_in(tmp_path, "pics"), train=train)
    reads = "in_json" in option_specs(STAGES[train].options)
    before = FULL[:-1] if STAGES[train].family == "sd" else FULL[:-2]
    assert chain(steps) == [*before, (train, before[-1][2] if reads else "", "")]
    made = reads and "latents" in [step.stage.id for step in steps]
    assert not made or "resolution" not in steps[-1].values


def test_a_name_that_is_no_training_is_refused(tmp_path):
    with pytest.raises(BadOption):
        steps_of(project_in(tmp_path, "pics"), train="latents")


def test_a_training_that_reads_folders_is_given_metadata_only_where_there_is_some(tmp_path):
    project = project_in(tmp_path, "pics")
    lora = STAGES["train_lora"]
    given = stage_values(lora, project)
    assert given.values["train_data_dir"] == project.pictures[0] and "in_json" not in given.values
    assert given.values["network_module"] == "networks.lora" and "network_module" not in given.links
    assert Path(stage_values(STAGES["train"], project).values["in_json"]).name == "meta_lat.json"
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "meta_clean.json").write_text("{}")
    assert Path(stage_values(lora, project).values["in_json"]).name == "meta_clean.json"
