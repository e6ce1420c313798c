"""What is found before a start: a list that leads to its fields, and buttons that mend what they can."""

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, expect
from safetensors.numpy import save_file

from tests.page import Gui, Tab, new_tab


@pytest.fixture(scope="module")
def folder(gui: Gui) -> Path:
    """Three pictures with .txt texts, one of them broken; a fourth in a folder below."""
    folder = gui.folder / "preflight"
    (folder / "below").mkdir(parents=True)
    for i in range(3):
        Image.new("RGB", (640, 512), (70 * i, 90, 200)).save(folder / f"{i}.png")
        (folder / f"{i}.txt").write_text(f"meadow {i}, flower")
    (folder / "2.png").write_bytes(b"no picture")
    Image.new("RGB", (640, 512)).save(folder / "below" / "3.png")
    return folder


@pytest.fixture(scope="module")
def on(browser: Browser, gui: Gui, folder: Path) -> Iterator[Tab]:
    """A tab on a project whose model is SD2, and whose metadata has sizes but no latents."""
    model = gui.folder / "sd2.safetensors"
    names = ("model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.model.x")
    save_file({name: np.zeros((2, 2), np.float16) for name in names}, model)
    work = gui.work / "preflight"
    work.mkdir()
    entries = {str(folder / f"{i}.png"): {"tags": f"meadow {i}, flower"} for i in range(3)}
    (work / "meta_lat.json").write_text(json.dumps(entries))
    with new_tab(browser, gui) as tab:
        tab.make_project("preflight", [folder], model)
        yield tab


def rail(tab: Tab, stage: str) -> Locator:
    place = f'.kg-rail[data-stage="{stage}"]' if stage.startswith("merge") else f"[data-view={stage}] .kg-rail"
    return tab.page.locator(place)


def finding(tab: Tab, stage: str, text: str) -> Locator:
    return rail(tab, stage).locator(".finds li", has_text=text)


def test_an_ending_is_mended_by_its_button_and_given_back(on: Tab) -> None:
    on.select("metadata")
    wrong = finding(on, "merge_captions", "No .caption files, but 3 .txt. Use .txt?")
    start = rail(on, "merge_captions").locator("[data-do=start]")
    expect(wrong).to_be_visible()
    expect(start).to_contain_text("Fix 1 field first")
    on.shot("preflight_metadata")
    # By keyboard, as every button.
    wrong.get_by_role("button", name="Use .txt").focus()
    on.page.keyboard.press("Enter")
    field = on.page.locator("#f-merge_captions-caption_extension")
    expect(field).to_have_value(".txt")
    expect(wrong).to_have_count(0)
    expect(start).not_to_contain_text("Fix")
    expect(rail(on, "merge_captions").locator(".finds")).to_be_focused()
    on.page.locator(".kg-note", has_text="Use .txt").get_by_role("button", name="Undo").click()
    expect(field).to_have_value(".caption")
    expect(wrong).to_be_visible()


def test_broken_pictures_are_named_and_shown(on: Tab) -> None:
    on.select("latents")
    broken = finding(on, "latents", "1 image cannot be read and is left out: 2.png.")
    expect(broken).to_be_visible()
    expect(finding(on, "latents", "3 images read from preflight; its subfolders are not.")).to_be_visible()
    expect(finding(on, "latents", "1 image in a subfolder of preflight is not read.")).to_be_visible()
    broken.get_by_role("button", name="Show").click()
    shown = on.page.locator(".ds-cell")
    expect(shown).to_have_count(1)
    expect(shown).to_contain_text("2.png")
    expect(shown).to_contain_text("it is not a picture")
    on.shot("preflight_show")
    on.page.locator(".chip", has_text="those of the check (1)").click()
    expect(on.page.locator(".ds-count")).to_contain_text("Pictures: 3")
    on.select("latents")
    finding(on, "latents", "in a subfolder").get_by_role("button").click()
    page = on.page
    page.wait_for_function("Studio.store.value('latents', 'recursive') && Studio.store.value('latents', 'full_path')")
    expect(finding(on, "latents", "4 images read from preflight and its subfolders.")).to_be_visible()


def test_start_leads_to_what_is_wrong_and_warnings_ask_once(on: Tab) -> None:
    page, start = on.page, rail(on, "train").locator("[data-do=start]")
    on.select("train")
    on.fill("train", xformers=True, sdpa=True, sample_every_n_epochs="1", learning_rate="0.1", max_train_steps="3")
    on.select("train")
    version = finding(on, "train", "This model is SD2; v2 is off.")
    expect(version).to_be_visible()
    expect(start).to_contain_text("first")
    on.shot("preflight_errors")
    start.click()
    expect(page.locator(":focus")).to_have_attribute("aria-invalid", "true")

    version.locator("[data-go]").click()
    expect(page.locator("#f-train-v2")).to_be_focused()
    version.get_by_role("button", name="Turn on").click()
    finding(on, "train", "exclude each other").get_by_role("button", name="Keep SDPA attention").click()
    expect(page.locator("#f-train-xformers")).not_to_be_checked()
    expect(page.locator("#f-train-sdpa")).to_be_checked()
    finding(on, "train", "give a resolution").get_by_role("button", name="512,512").click()
    finding(on, "train", "Samples need prompts").get_by_role("button", name="Write three").click()
    expect(rail(on, "train").locator(".finds li.error")).to_have_count(0)
    expect(finding(on, "train", 'As trained: "meadow 0, flower"')).to_be_visible()
    written = (on.gui.work / "preflight" / "sample_prompts.txt").read_text()
    assert page.evaluate("Studio.store.value('train', 'sample_prompts')").endswith("sample_prompts.txt")
    assert written.splitlines() == [f"meadow {i}, flower" for i in range(3)]

    # Only warnings are left: the first press asks, and asks again only when something has changed.
    expect(finding(on, "train", "0.1 is unusual")).to_be_visible()
    start.click()
    expect(start).to_contain_text("Start anyway")
    on.shot("preflight_anyway")
    on.fill("train", seed="7")
    expect(start).to_contain_text("Start training")
    finding(on, "train", "0.1 is unusual").get_by_role("button", name="5e-6").click()
    expect(finding(on, "train", "0.1 is unusual")).to_have_count(0)
    assert "preflight" not in [row["project"] for row in page.evaluate("Studio.call('runs')")["queue"]]


def test_the_pipeline_lists_its_findings_with_their_fixes(on: Tab) -> None:
    on.fill("train", sample_at_first=True, sample_prompts="")
    on.select("project")
    on.page.click("[data-do=pipeline]")
    samples = on.page.locator("[data-plan] li", has_text="Samples need prompts")
    expect(samples).to_be_visible()
    on.shot("preflight_pipeline")
    samples.get_by_role("button", name="Reset").click()
    expect(samples).to_have_count(0)
    on.page.wait_for_function("Studio.store.value('train', 'sample_at_first') === false")


def test_in_japanese_in_the_dark_and_on_a_phone(on: Tab) -> None:
    page = on.page
    page.evaluate("Studio.speak('ja'); document.body.classList.add('dark')")
    on.fill("train", v2=False)
    on.select("train")
    expect(finding(on, "train", "SD2 のモデルです。").get_by_role("button")).to_contain_text("をオンにする")
    on.shot("preflight_ja_dark")
    page.set_viewport_size({"width": 390, "height": 844})
    finding(on, "train", "SD2").scroll_into_view_if_needed()
    on.fits()
    on.shot("preflight_390")
