"""Both languages are complete: no key is missing, no fact is lost, and every key that the page asks for is there."""

import re

import pytest

from kohya_gui.app import MARKS, TABS, WEB
from kohya_gui.i18n import t, words
from kohya_gui.layout import LAYOUTS
from kohya_gui.stages import STAGES
from sd_scripts.options.spec import option_specs

SCRIPTS = "\n".join(path.read_text(encoding="utf-8") for path in sorted(WEB.glob("*.js")))


def _page_words(lang: str) -> dict[str, str]:
    """The page's own words; those of the server are tested with it."""
    return {key: text for key, text in words(lang).items() if not key.startswith("server.")}


def test_both_languages_have_the_same_keys() -> None:
    assert set(_page_words("en")) == set(_page_words("ja"))


def test_no_text_is_empty_and_both_use_the_same_facts() -> None:
    for key, english in _page_words("en").items():
        japanese = _page_words("ja")[key]
        assert english.strip() and japanese.strip(), key
        assert set(re.findall(r"\{(\w+)", english)) == set(re.findall(r"\{(\w+)", japanese)), key


@pytest.mark.parametrize("stage", STAGES)
def test_every_option_has_a_label_and_a_help(stage: str) -> None:
    for flag in option_specs(STAGES[stage].options):
        for part in ("label", "help"):
            own = {f"stage_option.{whose}.{flag}.{part}" for whose in (stage, STAGES[stage].family, STAGES[stage].tab)}
            assert (own | {f"option.{flag}.{part}"}) & set(words("en"))


def test_words_of_options_are_words_of_options_that_exist() -> None:
    flags = {flag for stage in STAGES.values() for flag in option_specs(stage.options)}
    for key in words("en"):
        parts = key.split(".")
        if parts[0] == "option":
            assert parts[1] in flags
        if parts[0] == "stage_option":
            # Words of a whole tab, of a family, or of one stage.
            stages = [stage for stage in STAGES.values() if parts[1] in (stage.id, stage.family, stage.tab)]
            assert any(parts[2] in option_specs(stage.options) for stage in stages)


def test_every_place_stage_tab_mark_and_unit_has_a_name() -> None:
    keys = {f"tab.{tab}" for tab in TABS} | {f"mark.{mark}" for mark in ("todo", "done", "run", "err", "stale")}
    for stage, layout in LAYOUTS.items():
        keys |= {f"section.{name}" for name in (*layout.groups, *layout.sections)}
        keys |= {f"{kind}.{stage}" for kind in ("stage", "about")} | {f"start.{STAGES[stage].tab}"}
        if STAGES[stage].trains:
            keys |= {f"train_method.{STAGES[stage].method}", f"family.{STAGES[stage].family}"}
        if STAGES[stage].group:
            keys |= {f"tool_group.{STAGES[stage].group}"}
        specs = option_specs(STAGES[stage].options).values()
        keys |= {f"unit.{spec.unit}" for spec in specs if spec.unit}
    assert keys <= set(words("en"))
    assert set(MARKS) == set(TABS)


def test_every_key_that_a_script_names_exists() -> None:
    named = set(re.findall(r'\bt\("([a-z_.]+)"', SCRIPTS)) | set(re.findall(r'\? "([a-z_]+\.[a-z_]+)" :', SCRIPTS))
    assert len(named) > 100
    assert named <= set(words("en"))


def test_every_key_that_a_script_puts_together_begins_like_one_that_exists() -> None:
    prefixes = set(re.findall(r"\bt\(`([a-z_]+\.)\$\{", SCRIPTS))
    assert len(prefixes) > 10
    for prefix in prefixes:
        assert any(key.startswith(prefix) for key in words("en")), prefix


def test_unknown_languages_are_english_and_facts_are_filled_in() -> None:
    assert t("changed", "fr", n=3) == "3 changed"
    assert t("changed", "ja", n=3) == "3 件変更"
    with pytest.raises(KeyError):
        t("no.such.key")
