"""Fit to the memory in the page: the button tries real steps, and one press takes what was found into the form."""

import json
from collections.abc import Iterator

import pytest
from playwright.sync_api import expect

from sd_scripts.library.example.sd_models import make_sd1
from tests.browser.runs import RUN_MS
from tests.page import Gui, Tab, served


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    """A server of its own, whose runs are those of this test alone."""
    with served(tmp_path_factory.mktemp("fitting"), pictures=2) as gui:
        yield gui


def test_from_the_button_to_the_settings(tab: Tab) -> None:
    page, folder = tab.page, tab.gui.folder
    model = make_sd1(folder / "tiny.safetensors")
    tab.make_project(model=model)
    metadata = folder / "meta.json"
    pictures = sorted(tab.gui.pictures.glob("*.png"))
    metadata.write_text(json.dumps({str(picture): {"caption": "a meadow"} for picture in pictures}))
    tab.select("train")
    tab.fill("train", in_json=metadata, resolution="64,64", max_data_loader_n_workers=0)
    page.evaluate("Studio.store.set('train', 'mixed_precision', 'bf16'); Studio.fire('loaded', { stage: 'train' })")
    figures = page.locator("[data-view=train] .figures")
    expect(figures).to_contain_text("Reckoned from the model's layers, for pictures of 64 × 64")
    tab.shot("fit-button")
    figures.get_by_role("button", name="Fit to my memory").click()
    page.get_by_role("button", name="Open", exact=True).first.click()
    tried = page.locator("[data-part=tables]")
    expect(tried).to_contain_text("--cache_latents --gradient_checkpointing", timeout=RUN_MS)
    expect(tried).to_contain_text("fits")
    expect(tried.get_by_role("heading")).to_have_text(["What was tried", "What the fastest that fits changes"])
    expect(page.locator(".kg-mon .top .meta")).to_contain_text("Fit to the memory: Fine-tuning")
    tab.shot("fit-run")
    tab.select("train")
    found = page.locator("[data-view=train] .finds li", has_text="Tried with real steps")
    expect(found).to_contain_text("Latents in memory on")
    tab.shot("fit-found")
    page.evaluate("Studio.speak('ja')")
    japanese = page.locator("[data-view=train] .finds li", has_text="実際のステップで試した結果")
    expect(japanese).to_be_visible()
    tab.shot("fit-found-ja")
    page.evaluate("Studio.speak('en')")
    found.get_by_role("button", name="Use these settings").click()
    expect(found).to_have_count(0)
    expect(page.locator("[data-view=train] .finds")).to_contain_text("These settings are the fastest that fit")
    assert page.evaluate("Studio.store.value('train', 'cache_latents')") is True

    # Where more is expected to be needed than there is, the warning offers the same.
    tab.fill("train", train_batch_size=4096, resolution="1024,1024")
    short = page.locator("[data-view=train] .finds li", has_text="of memory is expected to be needed")
    expect(short).to_contain_text("Real steps find settings that fit.")
    tab.shot("too-little-memory")
    # Pressed, it would try steps that take all of this machine's memory.
    expect(short.get_by_role("button", name="Fit to my memory")).to_be_visible()

    # What stands against trying is said, with its field.
    tab.fill("train", learning_rate="abc")
    figures.get_by_role("button", name="Fit to my memory").click()
    expect(page.locator(".kg-note.bad")).to_contain_text("Learning rate: “abc” is not a number")
    expect(page.locator("#f-train-learning_rate")).to_be_focused()
