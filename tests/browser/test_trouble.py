"""Presets, commands, and trouble: it is said in the page, beside its field or with the run that failed."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from sd_scripts.library.example.sd_models import make_sd1
from tests.browser.runs import start
from tests.page import Gui, Tab, new_tab


@pytest.fixture(scope="module")
def plain(browser: Browser, gui: Gui) -> Iterator[Path]:
    """A project of three captioned pictures in a folder with a difficult name; gives that folder."""
    folder = gui.folder / "it's $(a) “plain” folder 写真"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (96, 64), (60 * i, 90, 200)).save(folder / f"{i}.png")
        (folder / f"{i}.caption").write_text(f"plain colour {i}", encoding="utf-8")
    with new_tab(browser, gui) as tab:
        tab.make_project("plain", [folder])
    yield folder


@pytest.fixture
def on(tab: Tab, plain: Path) -> Tab:
    """A tab on that project."""
    tab.make_project("plain")
    return tab


def test_a_preset_is_saved_changed_reloaded_and_deleted(on: Tab) -> None:
    page = on.page
    on.fill("train", learning_rate="3e-6", seed=11)
    page.click("[data-do=preset]")
    page.fill(".pre-save [name=name]", "my rate")
    page.click(".pre-save button")
    expect(page.locator(".pre-item[aria-pressed=true] b")).to_have_text("my rate")
    page.keyboard.press("Escape")

    on.fill("train", learning_rate="9e-6", clip_skip=2, shuffle_caption=True)
    expect(page.locator("[data-do=preset] .chip")).to_have_text("3 changed")
    page.click("[data-do=preset]")
    page.click('.pre-item:has-text("my rate")')
    expect(page.locator(".diff")).to_contain_text("9e-6 → 3e-6")
    on.shot("preset")
    page.click("[data-step=apply]")
    _expect_values(on, learning_rate="3e-6", seed="11", clip_skip="")
    expect(page.locator("#f-train-shuffle_caption")).not_to_be_checked()

    # Kept for good: it is there after a reload, with its new value once it was saved again.
    on.fill("train", learning_rate="4e-6")
    page.click("[data-do=preset]")
    page.fill(".pre-save [name=name]", "my rate")
    page.click(".pre-save button")
    page.click("[data-yes]")
    expect(page.locator(".kg-note", has_text="my rate").last).to_be_visible()
    page.keyboard.press("Escape")
    on.open("train")
    on.fill("train", learning_rate="1e-6", seed="", output_name="other")
    page.click("[data-do=preset]")
    page.click('.pre-item:has-text("my rate")')
    page.click("[data-step=apply]")
    _expect_values(on, learning_rate="4e-6", seed="11", output_name="plain")

    page.click("[data-do=preset]")
    page.click('.pre-item:has-text("my rate")')
    page.click("[data-step=remove]")
    page.click("[data-yes]")
    expect(page.locator('.pre-item:has-text("my rate")')).to_have_count(0)
    on.open("train")
    expect(page.locator("[data-do=preset] b")).not_to_have_text("my rate")


def _expect_values(tab: Tab, **values: str) -> None:
    for flag, value in values.items():
        expect(tab.page.locator(f"#f-train-{flag}")).to_have_value(value)


def test_wrong_values_are_refused_beside_their_fields(on: Tab) -> None:
    page = on.page
    on.select("train")
    start_button = page.locator("[data-view=train] [data-do=start]")
    # The project names no model and has no metadata yet: two fields wait already.
    expect(start_button).to_contain_text("Fix 2 fields first")
    on.fill("train", learning_rate="abc", max_train_steps="-5")
    page.evaluate("document.activeElement.blur()")
    expect(page.locator('.f[data-flag="learning_rate"] .err')).to_contain_text("“abc” is not a number.")
    expect(page.locator("#f-train-learning_rate")).to_have_attribute("aria-invalid", "true")
    expect(page.locator('.f[data-flag="max_train_steps"] .err')).not_to_be_empty()
    expect(start_button).to_contain_text("Fix 4 fields first")
    expect(page.locator("[data-view=train] .finds .c-err")).to_have_count(4)
    on.shot("wrong_values")
    before = page.evaluate("Studio.call('runs')")
    start_button.click()
    expect(page.locator(":focus")).to_have_attribute("id", re.compile("^f-train-"))
    after = page.evaluate("Studio.call('runs')")
    assert [row["id"] for row in after["history"]] == [row["id"] for row in before["history"]] and not after["queue"]


def test_a_model_that_is_none_is_refused(on: Tab, gui: Gui) -> None:
    page = on.page
    text = gui.folder / "holiday.safetensors"
    text.write_text("this is a letter, not a model", encoding="utf-8")
    page.fill("#pr-model", str(text))
    expect(page.locator(".f[data-field=model] > .err")).to_contain_text(f"{text} is not a model file.")
    expect(page.locator("#pr-model")).to_have_attribute("aria-invalid", "true")
    on.shot("no_model_project")
    on.fill("train", pretrained_model_name_or_path=text)
    error = page.locator('.f[data-flag="pretrained_model_name_or_path"] .err')
    expect(error).to_contain_text("is not a model file")
    on.shot("no_model")


def test_a_run_that_fails_says_why(on: Tab, gui: Gui, plain: Path) -> None:
    page = on.page
    page.evaluate("Studio.tabs.open('metadata')")
    merge = page.locator("section[aria-labelledby=step-merge_captions]")
    merge.locator("[data-do=start]").click()
    page.wait_for_function("Studio.runs.lists().history.some(row => row.name === 'plain' && row.state === 'done')")
    metadata = gui.work / "plain" / "meta_cap.json"
    whole = metadata.read_text(encoding="utf-8")
    assert set(json.loads(whole)) == {"0", "1", "2"}

    # While the next stage waits for the processor, another program spoils the file that it will read.
    blocker = gui.queue_fake("blocker", "--steps", "100000", "--step_s", "0.05")
    expect(page.locator(".kg-rb .nm")).to_have_text("blocker")
    model = gui.folder / "tiny.safetensors"
    make_sd1(model)
    on.fill("latents", model_name_or_path=model, max_resolution="128,128", min_bucket_reso=64)
    start(on, "latents")
    expect(page.locator(".kg-list .run .waiting")).to_contain_text("blocker")
    metadata.write_text(whole[:30], encoding="utf-8")
    page.evaluate("id => Studio.call('run_request', {id, request: 'stop'})", blocker)
    sentence = page.locator(".fail h2")
    expect(sentence).to_contain_text("meta_cap.json is broken JSON at line")
    expect(page.locator(".kg-mon .top .st")).to_have_class("st failed")
    expect(page.locator(".kg-note.bad")).to_contain_text("plain")
    expect(page.locator(".fail pre")).to_contain_text("is broken JSON at line")
    on.shot("failed_run")

    metadata.write_text(whole, encoding="utf-8")
    page.click("[data-act=again]")
    expect(page.locator(".kg-mon .top .st")).to_have_class("st done")
    assert len(list(plain.glob("*.npz"))) == 3


def test_the_copied_command_runs_in_a_terminal(on: Tab, gui: Gui, tmp_path: Path) -> None:
    page = on.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    on.select("metadata")
    written = gui.work / "plain" / "meta_cap.json"
    written.unlink(missing_ok=True)
    merge = page.locator("section[aria-labelledby=step-merge_captions]")
    merge.locator("[data-shell=sh]").click()
    expect(merge.locator("pre.cmd")).to_contain_text("merge_captions_to_metadata.py")
    merge.locator("[data-do=copy]").click()
    expect(page.locator(".kg-note")).to_contain_text("Copied")
    command = page.evaluate("navigator.clipboard.readText()")
    assert "\n" not in command
    done = subprocess.run([shutil.which("sh") or "sh", "-c", command], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    entries = json.loads(written.read_text(encoding="utf-8"))
    assert {key: entry["caption"] for key, entry in entries.items()} == {str(i): f"plain colour {i}" for i in range(3)}
