"""Every option stands once in its stage's form, and the form says of it what the options class says."""

from pathlib import Path
from typing import Any

import pytest

from kohya_gui.form import form_schema, placed_flags
from kohya_gui.i18n import words
from kohya_gui.layout import GROUPED, LAYOUTS, LISTED, SUGGESTED, WIDE
from kohya_gui.layout_staying import NAMES, STAYS
from kohya_gui.layout_training import SECTIONS
from kohya_gui.stages import STAGES, TRAINERS
from sd_scripts.library.train.fit import last_resorts, ways
from sd_scripts.options.optimizer import OPTIMIZERS, SCHEDULES
from sd_scripts.options.spec import from_values, option_groups, option_specs
from sd_scripts.options.values import read_value

ALL_FLAGS = {flag for stage in STAGES.values() for flag in option_specs(stage.options)}


def test_every_stage_has_a_layout() -> None:
    assert set(LAYOUTS) == set(STAGES)


@pytest.mark.parametrize("stage", STAGES)
def test_each_option_is_placed_exactly_once(stage: str) -> None:
    assert sorted(placed_flags(LAYOUTS[stage])) == sorted(option_specs(STAGES[stage].options))


def _flags_of(rule: dict[str, Any]) -> set[str]:
    inner = [_flags_of(one) for one in [*rule.get("any", []), *rule.get("all", [])]]
    return set().union(*inner) | ({rule["flag"]} if "flag" in rule else set())


@pytest.mark.parametrize("stage", STAGES)
def test_rules_speak_of_options_of_the_same_stage(stage: str) -> None:
    specs = option_specs(STAGES[stage].options)
    for flag, rule in LAYOUTS[stage].shown.items():
        assert flag in specs
        assert _flags_of(rule) <= set(specs)


def _choices_of(rule: dict[str, Any]) -> list[tuple[str, list[str]]]:
    inner = [pair for one in [*rule.get("any", []), *rule.get("all", [])] for pair in _choices_of(one)]
    return [*inner, (rule["flag"], rule["is"])] if "is" in rule else inner


@pytest.mark.parametrize("stage", STAGES)
def test_values_that_rules_wait_for_are_values_of_their_options(stage: str) -> None:
    specs = option_specs(STAGES[stage].options)
    for rule in LAYOUTS[stage].shown.values():
        for flag, values in _choices_of(rule):
            for value in values:
                assert str(read_value(specs[flag], value) or "") == value


@pytest.mark.parametrize("stage", STAGES)
def test_no_option_is_hidden_by_itself(stage: str) -> None:
    """Hidden options lead each other nowhere: what shows one is shown, or is shown by another one."""
    shown = LAYOUTS[stage].shown

    def can_appear(flag: str, above: tuple[str, ...] = ()) -> bool:
        flags = _flags_of(shown.get(flag, {})) if flag not in above else {flag}
        return flag not in above and all(can_appear(one, (*above, flag)) for one in flags)

    assert all(can_appear(flag) for flag in shown)


def test_wide_listed_and_suggested_options_exist() -> None:
    assert set(WIDE) | set(LISTED) | set(SUGGESTED) | set(GROUPED) <= ALL_FLAGS


def test_what_is_offered_is_accepted() -> None:
    for stage in STAGES.values():
        for flag, spec in option_specs(stage.options).items():
            grouped = [name for names in GROUPED.get(flag, {}).values() for name in names]
            for value in (*LISTED.get(flag, ()), *SUGGESTED.get(flag, ()), *grouped):
                assert read_value(spec, value) in (value, [value])


def test_optimizers_are_offered_under_headings_that_have_words() -> None:
    groups = form_schema("train", STAGES["train"].options)["fields"]["optimizer_type"]["suggested"]
    assert [name for _, names in groups for name in names] == list(OPTIMIZERS)
    for lang in ("en", "ja"):
        assert {f"names.{heading}" for heading, _ in groups} <= set(words(lang))


def test_what_a_schedule_does_not_read_is_hidden() -> None:
    shown = LAYOUTS["train"].shown
    assert shown["lr_decay_steps"] == {"flag": "lr_scheduler", "is": ["warmup_stable_decay"]}
    assert "adafactor" not in shown["lr_warmup_steps"]["is"]
    placed = {flag for flags in SCHEDULES.values() for flag in flags}
    assert placed <= set(shown) and placed <= ALL_FLAGS


def test_the_schema_keeps_zero_and_leaves_out_what_is_absent() -> None:
    fields = form_schema("train", STAGES["train"].options)["fields"]
    assert fields["keep_tokens"]["default"] == 0
    assert fields["learning_rate"] == {"kind": "float", "default": 2e-6, "low": 0.0}
    assert fields["max_grad_norm"]["zero"] is True
    assert fields["clip_skip"] == {"kind": "int", "low": 1, "optional": True, "shown": {"flag": "v2", "given": False}}
    assert fields["mixed_precision"]["choices"] == ["no", "fp16", "bf16"]


def test_a_layout_that_forgets_an_option_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    layout = LAYOUTS["clean"]
    monkeypatch.setitem(LAYOUTS, "clean", type(layout)(groups={"clean": "in_json out_json"}, sections={}))
    with pytest.raises(ValueError, match="clean must place every option exactly once: debug, rules, third_file"):
        form_schema("clean", STAGES["clean"].options)


STAYING = {flag for line in STAYS.values() for flag in line.split()}


def test_what_stays_in_all_trainings_is_none_of_how_they_learn_and_fit() -> None:
    assert STAYING | set(NAMES.split()) <= ALL_FLAGS
    alone = {"length", "optimizer", "schedule", "precision", "groups", "attention", "compilation", "zero", "text_cache",
             "noise", "loss", "validation", "average", "trouble", "network", "rates", "base", "start", "method",
             "config"}  # fmt: skip
    for name in TRAINERS:
        groups = {group.name: {spec.name for spec in group.specs} for group in option_groups(STAGES[name].options)}
        for group in alone & groups.keys():
            assert groups[group] & STAYING <= {"seed"}, group
    assert not any(flag.startswith("cache_") for flag in STAYING)
    assert not STAYING & set(SECTIONS["memory"].split())


def test_what_stays_has_nothing_that_fit_chooses(tmp_path: Path) -> None:
    file = tmp_path / "data.toml"
    file.write_text('[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "pics"\n')
    for name in TRAINERS:
        options = from_values(STAGES[name].options, {"dataset_config": str(file), "train_batch_size": 2})
        found = [*ways(options, ("precision", "clipping", "optimizer"), id), *last_resorts(options, id)]
        chosen = {flag for way in found for flag in way}
        assert "gradient_checkpointing" in chosen and not chosen & STAYING
