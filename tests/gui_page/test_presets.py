"""Presets as their user meets them: found, applied in part, kept, copied, taken along, and read from elsewhere."""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Locator, expect

from tests.page import Gui, Tab

KOHYA_SS = {
    "LoRA_type": "Standard", "network_dim": 8, "learning_rate": "1e-5", "optimizer": "Adafactor", "epoch": "5",
    "xformers": "sdpa", "lr_warmup": 10, "max_resolution": "768,768", "train_batch_size": "abc", "seed": "0",
    "wandb_api_key": "very-secret", "multi_gpu": True, "mystery": 1, "shuffle_caption": 1,
}  # fmt: skip
HEADER = {"ss_learning_rate": "3e-06", "ss_seed": "77", "ss_tag_frequency": "x" * 50_000}


@pytest.fixture
def train(tab: Tab) -> Iterator[Tab]:
    """The training form of a project, as it is at first, with the presets' browser at hand."""
    tab.make_project()
    tab.select("train")
    tab.page.evaluate("Studio.store.load('train', {name: null, values: {}})")
    asked: list[str] = []
    tab.page.on("request", lambda request: asked.append(request.url))
    yield tab
    # Files are read by the page itself; nothing is left on the server's disk.
    assert not [url for url in asked if "upload" in url]


def open_presets(tab: Tab) -> Locator:
    tab.page.click("[data-do=preset]")
    box = tab.page.locator("dialog.presets")
    expect(box.locator(".pre-item").first).to_be_visible()
    return box


def pick(box: Locator, name: str) -> None:
    box.locator(".pre-item", has=box.page.locator("b", has_text=re.compile(f"^{re.escape(name)}$"))).click()


def values_of(tab: Tab) -> dict[str, object]:
    typed: dict[str, object] = tab.page.evaluate("Studio.store.typed('train')")
    return typed


def forget(tab: Tab, *names: str) -> None:
    for name in names:
        tab.page.evaluate("name => Studio.call('preset_delete', {stage: 'train', name})", name)


def test_presets_are_found_by_name_and_by_what_they_set(train: Tab) -> None:
    box = open_presets(train)
    expect(box.locator(".pre-item")).to_have_count(7)
    box.locator("[type=search]").fill("clip_skip")
    expect(box.locator(".pre-item b")).to_have_text(["Drawings, SD1.x, 12 GB"])
    expect(box.locator(".pre-item small")).to_contain_text("tag lists")
    box.locator("[type=search]").fill("24 adamw8bit")
    expect(box.locator(".pre-one h2")).to_have_text("SD1.5, 24 GB, with text encoder")
    box.locator(".sets summary").click()
    expect(box.locator(".sets dl")).to_contain_text("Optimizer optimizer_type")
    expect(box.locator(".sets dl")).to_contain_text("AdamW8bit")
    expect(box.locator(".tools .chip")).to_have_text("read-only")
    expect(box.locator("[data-step=remove], [data-step=edit]")).to_have_count(0)
    box.locator("[type=search]").fill("no such thing")
    expect(box.locator(".pre-item")).to_have_count(0)


def test_values_are_chosen_one_by_one_and_what_was_typed_otherwise_stays(train: Tab) -> None:
    train.fill("train", learning_rate="9e-6", noise_offset="0.05", clip_skip="2")
    given = train.page.evaluate("Studio.store.given('train').values.train_data_dir")
    box = open_presets(train)
    pick(box, "Quick try")
    apply = box.locator("[data-step=apply]")
    expect(apply).to_have_text("Apply 7, reset 3")
    row = box.locator(".diff .row", has_text="learning_rate")
    expect(row).to_contain_text("9e-6 → 2e-6")
    expect(box.locator(".diff .row", has_text="train_data_dir")).to_have_count(0)
    box.locator("[data-all=no]").click()
    expect(apply).to_be_disabled()
    for flag in ("seed", "max_train_steps", "noise_offset"):
        box.locator(f"[data-flag={flag}]").check()
    expect(apply).to_have_text("Apply 2, reset 1")
    apply.click()
    expect(train.page.locator("[data-do=preset] b")).to_have_text("Quick try")
    expect(train.page.locator("[data-do=preset] .chip")).to_have_text("7 changed")
    assert values_of(train) == {"learning_rate": "9e-6", "clip_skip": "2", "seed": "42", "max_train_steps": "50"}
    assert train.page.evaluate("Studio.store.value('train', 'train_data_dir')") == given

    box = open_presets(train)
    box.locator("[data-step=apply]").click()
    expect(train.page.locator("#f-train-learning_rate")).to_have_value("2e-6")
    train.page.locator(".kg-note", has_text="Quick try").last.get_by_role("button", name="Undo").click()
    expect(train.page.locator("#f-train-learning_rate")).to_have_value("9e-6")


def test_a_preset_of_ours_leaves_paths_and_names(train: Tab) -> None:
    """What was typed of the work at hand is no part of what it resets; a preset of the user's own resets that too."""
    own = {"pretrained_model_name_or_path": "/models/mine.safetensors", "train_data_dir": "/pics/mine",
           "output_name": "mine", "metadata_author": "me"}  # fmt: skip
    type_in = "values => Object.entries(values).forEach(([flag, text]) => Studio.store.set('train', flag, text))"
    train.page.evaluate(type_in, own | {"noise_offset": "0.05"})
    box = open_presets(train)
    pick(box, "Quick try")
    expect(box.locator(".diff [data-reset]")).to_have_count(1)
    expect(box.locator(".diff [data-flag=noise_offset]")).to_be_checked()
    box.locator("[data-step=apply]").click()
    expect(train.page.locator("[data-do=preset] b")).to_have_text("Quick try")
    # All that it gives is there, and what it leaves is no difference.
    expect(train.page.locator("[data-do=preset] .chip")).to_have_count(0)
    left = values_of(train)
    assert {flag: left[flag] for flag in own} == own and "noise_offset" not in left

    train.page.evaluate("Studio.call('preset_save', {stage: 'train', name: 'own', description: '', values: {seed: 5}})")
    box = open_presets(train)
    pick(box, "own")
    for flag in own:
        expect(box.locator(f".diff [data-flag={flag}][data-reset]")).to_have_count(1)
    train.page.keyboard.press("Escape")
    expect(train.page.locator("dialog:modal")).to_have_count(0)
    forget(train, "own")


def test_only_what_differs_is_kept_or_all(train: Tab) -> None:
    train.fill("train", seed="11")
    box = open_presets(train)
    form = box.locator(".pre-save")
    for name, scope in (("part", "changed"), ("whole", "all")):
        form.locator("[name=name]").fill(name)
        form.locator("[name=scope]").select_option(scope)
        form.locator("button").click()
        expect(box.locator(".pre-one h2")).to_have_text(name)
    mine = {p["name"]: p for p in train.page.evaluate("Studio.call('presets', {stage: 'train'})")["mine"]}
    assert mine["part"]["values"] == {"seed": 11}
    assert mine["whole"]["values"]["seed"] == 11 and len(mine["whole"]["values"]) > 40
    expect(box.locator(".tools .chip")).to_have_text("All values")
    expect(box.locator(".same")).to_be_visible()
    train.page.keyboard.press("Escape")
    expect(train.page.locator("[data-do=preset] .chip")).to_have_count(0)
    # Behind a dialog that is still closing nothing takes the focus.
    expect(train.page.locator("dialog:modal")).to_have_count(0)

    # Renamed, and brought up to date with the form.
    train.fill("train", seed="12")
    box = open_presets(train)
    pick(box, "part")
    box.locator("[data-step=edit]").click()
    ask = train.page.locator("dialog .ask")
    ask.locator("[name=name]").fill("whole")
    ask.locator("button.pri").click()
    expect(ask.locator(".err")).to_contain_text("already")
    ask.locator("[name=name]").fill("renamed")
    ask.locator("[name=description]").fill("for the meadow")
    ask.locator("button.pri").click()
    expect(box.locator(".pre-one h2")).to_have_text("renamed")
    box.locator("[data-step=update]").click()
    train.page.click("[data-yes]")
    expect(box.locator(".same")).to_be_visible()
    mine = {p["name"]: p for p in train.page.evaluate("Studio.call('presets', {stage: 'train'})")["mine"]}
    assert mine.keys() == {"whole", "renamed"}
    assert (mine["renamed"]["values"], mine["renamed"]["description"]) == ({"seed": 12}, "for the meadow")
    forget(train, "whole", "renamed")


def test_one_of_ours_is_copied_on_edit_exported_and_read_again(train: Tab, tmp_path: Path) -> None:
    page = train.page
    box = open_presets(train)
    pick(box, "Quick try")
    box.locator("[data-step=copy]").click()
    expect(page.locator(".ask [name=name]")).to_have_value("Quick try, mine")
    page.fill(".ask [name=name]", "写真 / copy")
    page.locator(".ask button.pri").click()
    expect(box.locator(".pre-one h2")).to_have_text("写真 / copy")
    expect(box.locator(".pre-item b", has_text=re.compile("^Quick try$"))).to_have_count(1)
    with page.expect_download() as download:
        box.locator("[data-step=export]").click()
    file = tmp_path / download.value.suggested_filename
    download.value.save_as(file)
    saved = json.loads(file.read_text(encoding="utf-8"))
    assert (saved["version"], saved["name"], saved["values"]["max_train_steps"]) == (2, "写真 / copy", 50)

    box.locator("[data-step=remove]").click()
    page.click("[data-yes]")
    expect(box.locator(".pre-item", has_text="写真")).to_have_count(0)
    old = {**saved, "version": 1, "name": "from before", "values": {**saved["values"], "gone": 1}}
    del old["scope"]
    file.write_text(json.dumps(old), encoding="utf-8")
    box.locator("[data-step=import]").click()
    page.set_input_files(".imp [name=file]", file)
    expect(box.locator(".pre-one h2")).to_have_text("from before")
    expect(box.locator("[data-state=left]")).to_contain_text("gone")
    box.locator("[data-step=keep_draft]").click()
    page.locator(".ask button.pri").click()
    expect(box.locator(".pre-item[aria-pressed=true] b")).to_have_text("from before")
    expect(box.locator("h3", has_text="Imported")).to_have_count(0)
    forget(train, "from before")


def test_settings_of_kohya_ss_are_read_with_a_report(train: Tab, tmp_path: Path) -> None:
    page = train.page
    file = tmp_path / "my lora.json"
    file.write_text(json.dumps(KOHYA_SS), encoding="utf-8")
    box = open_presets(train)
    box.locator("[data-step=import]").click()
    train.shot("import")
    page.set_input_files(".imp [name=file]", file)
    report = box.locator(".rep")
    expect(box.locator("[name=stage]")).to_have_value("train_lora")
    expect(report.locator("[data-state=changed] summary")).to_have_text("Changed: 6")
    expect(report.locator("[data-state=changed]")).to_contain_text("Adafactor → Optimizer: AdaFactor")
    left = report.locator("[data-state=left]")
    for text in ("is not a number", "wandb_api_key", "mystery", "accelerate launch"):
        expect(left).to_contain_text(text)
    assert "very-secret" not in page.content()
    train.shot("import_report")
    page.evaluate("document.body.classList.add('dark')")
    train.shot("import_report_dark")
    expect(box.locator("[data-step=apply]")).to_have_text("Apply 8")
    box.locator("[data-step=apply]").click()
    expect(page.locator("#f-train_lora-optimizer_type")).to_have_value("AdaFactor")
    assert page.evaluate("({...Studio.store.typed('train_lora')})") == {
        "network_dim": "8",
        "learning_rate": "1e-5", "optimizer_type": "AdaFactor", "max_train_epochs": "5", "sdpa": True,
        "lr_warmup_steps": "0.1", "resolution": "768,768", "shuffle_caption": True,
    }  # fmt: skip
    expect(page.locator("#f-train_lora-train_batch_size")).to_have_value("1")


def test_a_pasted_command_opens_its_stage_and_trouble_is_said_in_place(train: Tab) -> None:
    page = train.page
    box = open_presets(train)
    box.locator("[data-step=import]").click()
    page.click(".imp button.pri")
    expect(page.locator(".imp .err")).to_contain_text("Choose a file, or paste settings.")
    page.fill(".imp [name=text]", "{broken")
    page.click(".imp button.pri")
    expect(page.locator(".imp .err")).to_contain_text("broken JSON, at line 1")
    page.fill(
        ".imp [name=text]", 'python "C:\\sd\\finetune\\tag_images_by_wd14_tagger.py" D:\\pics ^\n --thresh 0.4 --onxn'
    )
    page.click(".imp button.pri")
    expect(box.locator("[name=stage]")).to_have_value("tag_wd14")
    expect(box.locator("[data-state=left]")).to_contain_text("The nearest one is onnx")
    box.locator("[data-flag=train_data_dir]").uncheck()
    box.locator("[data-step=apply]").click()
    expect(page.locator("#f-tag_wd14-thresh")).to_have_value("0.4")
    expect(page.locator("#f-tag_wd14-train_data_dir")).to_have_value(str(train.gui.pictures))


def test_models_tell_how_they_were_trained_from_this_computer_and_from_the_server(
    train: Tab, gui: Gui, tmp_path: Path
) -> None:
    page = train.page
    header = json.dumps({"__metadata__": HEADER}).encode()
    data = len(header).to_bytes(8, "little") + header
    for folder in (tmp_path, gui.folder):
        (folder / "lora.safetensors").write_bytes(data)
    (tmp_path / "no.safetensors").write_bytes(b"no model at all")
    box = open_presets(train)
    box.locator("[data-step=import]").click()
    page.set_input_files(".imp [name=file]", tmp_path / "no.safetensors")
    expect(page.locator(".imp .err")).to_contain_text("no.safetensors cannot be read")
    page.set_input_files(".imp [name=file]", tmp_path / "lora.safetensors")
    expect(box.locator("[data-state=taken] summary")).to_have_text("Taken: 2")
    box.locator("[data-step=import]").click()
    page.fill(".imp [name=path]", "/etc/passwd")
    page.click(".imp button.pri")
    expect(page.locator(".imp .err")).to_contain_text("lies outside the folders")
    page.fill(".imp [name=path]", str(gui.folder / "lora.safetensors"))
    page.click(".imp button.pri")
    expect(page.locator(".imp")).to_have_count(0)
    box.locator("[data-step=apply]").click()
    expect(page.locator("#f-train-learning_rate")).to_have_value("3e-6")
    assert values_of(train) == {"learning_rate": "3e-6", "seed": "77"}


def test_presets_by_keyboard_in_japanese_and_on_a_phone(train: Tab) -> None:
    page = train.page
    page.evaluate("Studio.speak('ja')")
    page.set_viewport_size({"width": 390, "height": 844})
    page.locator("[data-do=preset]").focus()
    page.keyboard.press("Enter")
    box = page.locator("dialog.presets")
    expect(box.locator(".pre-item b").first).to_have_text("イラスト、SD1.x、12 GB")
    box.locator("[type=search]").focus()
    page.keyboard.type("お試し")
    expect(box.locator(".pre-one h2")).to_have_text("お試し")
    page.wait_for_function("document.querySelector('dialog.presets').scrollWidth <= 390")
    page.wait_for_function("!getComputedStyle(document.querySelector('.pre')).gridTemplateColumns.includes(' ')")
    train.shot("presets_390")
    for _ in range(60):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.dataset.step") == "apply":
            break
    expect(box.locator("[data-step=apply]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#f-train-max_train_steps")).to_have_value("50")
    expect(page.locator("[data-do=preset]")).to_be_focused()
    page.evaluate("Studio.speak('en')")
