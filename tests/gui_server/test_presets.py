"""Presets: round trips, what is refused, and that ours are sound."""

import dataclasses
import json
import re
from pathlib import Path

import pytest

from kohya_gui import presets
from kohya_gui.presets import PresetStore, migrated
from kohya_gui.stages import STAGES
from sd_scripts.library.errors import BadOption
from sd_scripts.options.spec import option_specs
from sd_scripts.options.values import changed_values, read_value

REPO = Path(__file__).resolve().parents[2]


@pytest.fixture
def store(tmp_path):
    return PresetStore(REPO / "presets", tmp_path / "presets")


def test_every_stage_has_sound_presets_of_ours(store):
    for stage in STAGES.values():
        ours = store.all(stage.id)["builtin"]
        least = {"train": 3, "tools": 0}.get(stage.tab, 1)
        assert len(ours) == len(list((REPO / "presets" / stage.id).glob("*.json"))) >= least
        specs = option_specs(stage.options)
        for preset in ours:
            assert preset.description and not preset.unknown
            assert preset.ja.keys() == {"name", "description"} and re.search("[ぁ-ん]", preset.ja["description"])
            values = {flag: read_value(specs[flag], value) for flag, value in preset.values.items()}
            assert changed_values(stage.options, values).keys() == preset.values.keys(), preset.name
            assert not any(specs[flag].path or specs[flag].secret for flag in values), preset.name


@pytest.mark.parametrize("name", ["mine", "明るい / ..\\x", "../../escape", "con", "a:b", "A"])
def test_a_preset_comes_back_as_it_was_saved(store, name):
    saved = store.save("train", name, "why", {"learning_rate": "5e-6", "noise_offset": "0", "seed": "", "sdpa": True})
    assert saved.values == {"learning_rate": 5e-6, "noise_offset": 0.0, "sdpa": True}
    assert store.all("train")["mine"] == [saved]
    assert all(path.parent == store.user_dir / "train" for path in store.user_dir.rglob("*.json"))
    store.delete("train", name)
    assert store.all("train")["mine"] == []


def test_two_names_never_share_a_file(store):
    for name in ("a b", "a-b", "a.b", "A b"):
        store.save("train", name, "", {})
    assert sorted(p.name for p in store.all("train")["mine"]) == ["A b", "a b", "a-b", "a.b"]


def test_what_cannot_be_read_is_refused_by_field(store):
    with pytest.raises(BadOption) as wrong:
        store.save("train", "x", "", {"learning_rate": "abc"})
    assert wrong.value.option == "learning_rate"
    with pytest.raises(BadOption):
        store.save("train", " ", "", {})
    with pytest.raises(BadOption):
        store.delete("train", "never saved")


def test_secrets_are_never_kept(store, monkeypatch):
    specs = dict(option_specs(STAGES["train"].options))
    specs["log_prefix"] = dataclasses.replace(specs["log_prefix"], secret=True)
    monkeypatch.setattr(presets, "option_specs", lambda options_class: specs)
    assert store.save("train", "x", "", {"log_prefix": "token", "sdpa": True}).values == {"sdpa": True}


def test_unknown_flags_are_reported_and_empty_means_default(store):
    values = {"learning_rate": "", "gone": 1, "sdpa": True}
    path = store.user_dir / "train" / "x.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"version": 1, "stage": "train", "name": "x", "description": "", "values": values}))
    (preset,) = store.all("train")["mine"]
    assert (preset.values, preset.unknown) == ({"sdpa": True}, ["gone"])
    path.write_text("{broken")
    assert store.all("train")["mine"] == []


def test_older_versions_are_brought_forward_step_by_step(monkeypatch):
    monkeypatch.setattr(presets, "VERSION", 3)
    steps = {1: lambda s: s | {"version": 2, "a": 1}, 2: lambda s: s | {"version": 3, "b": s["a"] + 1}}
    monkeypatch.setattr(presets, "MIGRATIONS", steps)
    assert migrated({"version": 1}) == {"version": 3, "a": 1, "b": 2}
    with pytest.raises(ValueError, match="version 4"):
        migrated({"version": 4})


def test_files_of_the_first_version_are_read(store):
    path = store.user_dir / "train" / "old.json"
    path.parent.mkdir(parents=True)
    saved = {"version": 1, "stage": "train", "name": "old", "description": "why", "values": {"seed": 3}}
    path.write_text(json.dumps(saved))
    (preset,) = store.all("train")["mine"]
    assert (preset.values, preset.scope) == ({"seed": 3}, "changed")
    path.write_text(json.dumps({**saved, "version": 99}))
    assert store.all("train")["mine"] == []


def test_all_values_are_kept_where_that_is_wanted(store):
    defaults = {name: spec.default for name, spec in option_specs(STAGES["train"].options).items()}
    saved = store.save("train", "whole", "", {**defaults, "seed": 7}, "all")
    assert saved.scope == "all" and saved.values["seed"] == 7
    assert saved.values["learning_rate"] == defaults["learning_rate"] and saved.values["v2"] is False
    assert None not in saved.values.values() and store.all("train")["mine"] == [saved]
    assert store.save("train", "part", "", {**defaults, "seed": 7}).values == {"seed": 7}


def test_ours_stay_as_they_are_and_editing_one_makes_a_copy(store):
    ours = store.all("train")["builtin"]
    copy = store.edit("train", ours[0].name, "my own", " better ")
    assert (copy.values, copy.description, copy.builtin) == (ours[0].values, "better", False)
    assert store.all("train") == {"builtin": ours, "mine": [copy]}
    for act in (
        lambda: store.save("train", ours[0].name, "", {}),
        lambda: store.edit("train", "my own", ours[1].name, ""),
        lambda: store.edit("train", ours[1].name, "my own", ""),
        lambda: store.edit("train", "never saved", "x", ""),
        lambda: store.delete("train", ours[0].name),
    ):
        with pytest.raises(BadOption):
            act()


def test_a_preset_is_renamed_without_a_trace(store):
    store.save("train", "first", "", {"seed": 1})
    store.save("train", "second", "", {"seed": 2})
    store.edit("train", "first", "third", "new words")
    assert {p.name: (p.values, p.description) for p in store.all("train")["mine"]} == {
        "second": ({"seed": 2}, ""),
        "third": ({"seed": 1}, "new words"),
    }
    with pytest.raises(BadOption, match="already"):
        store.edit("train", "third", "second", "")
    store.edit("train", "third", "third", "")
    assert store.get("train", "third").description == ""


def test_an_exported_file_is_a_preset_of_the_present_version(store):
    name, text = store.exported("train", store.all("train")["builtin"][0].name)
    assert re.fullmatch(r"train-[\w-]+\.json", name)
    assert json.loads(text)["version"] == presets.VERSION and "ja" not in json.loads(text)


def test_a_preset_leaves_out_what_the_project_gives_whole_or_not(studio, pictures, tmp_path):
    work = str(tmp_path / "home" / "work")
    project = {"name": "p", "pictures": [str(pictures)], "work_dir": work, "output_name": "o"}
    assert "project" in studio.project_save(project)
    given = studio.stage_values("train", "p")["values"]
    assert given["train_data_dir"] == str(pictures)
    for whole in (False, True):
        saved = studio.preset_save("train", "x", "", {**given, "output_name": "other", "seed": 1}, all=whole)["preset"]
        assert not (given.keys() - {"output_name"}) & saved["values"].keys()
        assert saved["values"]["output_name"] == "other" and ("learning_rate" in saved["values"]) == whole


def test_a_file_that_was_put_there_by_hand_is_one_like_the_others(store):
    _, text = store.exported("train", "Quick try")
    path = store.user_dir / "train" / "from a friend.json"
    path.parent.mkdir(parents=True)
    path.write_text(text.replace("Quick try", "theirs"))
    assert store.save("train", "theirs", "", {"seed": 5}).values == {"seed": 5}
    assert [preset.name for preset in store.all("train")["mine"]] == ["theirs"]
    store.edit("train", "theirs", "mine now", "")
    assert [preset.name for preset in store.all("train")["mine"]] == ["mine now"] and not path.exists()
    store.delete("train", "mine now")
    assert store.all("train")["mine"] == []
