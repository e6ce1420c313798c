"""The tools' forms in the page: filled in from the project, checked before a start, run, and told of."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, expect

from tests.browser.runs import start, wait_for_rows
from tests.page import Gui, Tab, new_tab, served
from tests.tools.conftest import listed


@pytest.fixture(scope="module")
def tab(browser: Browser, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Tab]:
    with served(tmp_path_factory.mktemp("page")) as gui, new_tab(browser, gui) as tab:
        tab.make_project()
        yield tab


def show(tab: Tab, tool: str) -> None:
    tab.select("tools")
    tab.page.locator(f'[name=method-tools][value="{tool}"]').check()
    expect(tab.page.locator("[data-view=tools] .kg-form")).to_be_visible()


def test_training_folders_are_made_from_the_page(tab: Tab) -> None:
    page, gui = tab.page, tab.gui
    target = gui.folder / "dataset"
    show(tab, "make_folders")
    expect(page.locator("#f-make_folders-train_pictures")).to_have_value(str(gui.pictures))
    tab.fill("make_folders", output_folder=str(target), instance_prompt="sks", class_prompt="dog", repeats=3)
    tab.shot("make_folders")
    start(tab, "tools")
    assert wait_for_rows(tab, "Make training folders", 1) == ["done"]
    assert [name for name in listed(target) if name.endswith(".png")] == [f"img/3_sks dog/p{i}.png" for i in range(4)]
    tab.shot("made_folders")
    show(tab, "make_folders")
    finding = page.locator("[data-view=tools] .kg-rail", has_text="is not empty")
    expect(finding).to_be_visible()
    expect(page.locator("[data-view=tools] [data-do=start]")).to_contain_text("Fix")


def test_balance_tells_a_table(tab: Tab) -> None:
    show(tab, "balance_dataset")
    tab.fill("balance_dataset", folder=str(tab.gui.folder / "dataset" / "img"))
    start(tab, "tools")
    assert wait_for_rows(tab, "Balance concepts", 1) == ["done"]
    expect(tab.page.locator("[data-part=tables]")).to_contain_text("sks dog")
    tab.shot("balanced")


@pytest.mark.parametrize("tool", ["convert_model", "merge_models", "edit_metadata", "cache_latents", "cache_texts"])
def test_every_form_opens_and_says_what_is_missing(tab: Tab, tool: str) -> None:
    show(tab, tool)
    expect(tab.page.locator("[data-view=tools] [data-do=start]")).to_contain_text("Fix")
    tab.shot(tool)


def test_captions_are_edited_beside_the_pictures(tab: Tab) -> None:
    gui: Gui = tab.gui
    show(tab, "edit_captions")
    tab.fill("edit_captions", caption_extension=".caption", in_place=True, trigger_word="sks")
    tab.shot("edit_captions")
    start(tab, "tools")
    assert wait_for_rows(tab, "Edit captions", 1) == ["done"]
    assert {path.read_text(encoding="utf-8") for path in gui.pictures.glob("*.caption")} == {"sks, a plain colour\n"}
    kept = [path.read_text(encoding="utf-8") for path in Path(gui.pictures).glob(".texts_before/*/*.caption")]
    assert kept == ["a plain colour"] * 4
