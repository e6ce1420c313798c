"""The switch of the Train tab: what it offers, and what becomes of what was typed."""

import json
from collections.abc import Iterator

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, expect
from safetensors.numpy import save_file

from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
from kohya_gui.stages import STAGES, training_of
from tests.page import Gui, Tab, new_tab


@pytest.fixture(scope="module")
def shared(browser: Browser, gui: Gui) -> Iterator[Tab]:
    """One tab for all of these tests, on a project of its own."""
    with new_tab(browser, gui) as tab:
        tab.make_project("trainings")
        yield tab
        gui.end_runs()


@pytest.fixture
def page(shared: Tab) -> Page:
    """The Train tab with fine-tuning of Stable Diffusion chosen, and nothing typed."""
    shared.select("train")
    shared.page.evaluate("Studio.stage.choose('train', 'train')")
    shared.page.evaluate("Object.keys(Studio.data.trainers).forEach(one => Studio.store.load(one, {values: {}}))")
    return shared.page


def choose(page: Page, word: str) -> None:
    page.locator('[data-view="train"] .kg-switch label', has_text=word).click()


def value(page: Page, stage: str, flag: str) -> object:
    return page.evaluate("([stage, flag]) => Studio.store.value(stage, flag)", [stage, flag])


def type_in(page: Page, stage: str, flag: str, text: str) -> None:
    page.evaluate("([stage, flag, text]) => Studio.store.set(stage, flag, text)", [stage, flag, text])


def test_two_switches_choose_the_training(page: Page, shared: Tab) -> None:
    switch = page.locator('[data-view="train"] .kg-switch')
    choose(page, "LoRA")
    expect(page.locator("#f-train_lora-network_dim")).to_be_visible()
    expect(page.locator("#f-train-in_json")).to_have_count(0)
    expect(page.locator('input[name="method-train"]:checked')).to_be_focused()
    choose(page, "SDXL")
    expected = training_of("lora", "sdxl") or training_of("full", "sdxl")
    assert expected and page.evaluate("Studio.stage.current('train')") == expected.id
    offered = {stage.method for stage in STAGES.values() if stage.family == "sdxl"}
    expect(switch.locator('input[name="method-train"]')).to_have_count(len(offered))
    missing = {stage.method for stage in STAGES.values() if stage.trains} - offered
    for method in missing:
        expect(switch).to_contain_text(f"{page.evaluate('one => Studio.t(`train_method.${one}`)', method)}")
    page.locator('input[name="family"]:checked').press("ArrowLeft")
    assert STAGES[page.evaluate("Studio.stage.current('train')")].family == "sd"


def test_what_is_typed_stays_when_the_training_is_switched(page: Page) -> None:
    page.fill("#f-train-save_every_n_epochs", "3")
    type_in(page, "train", "learning_rate_te", "1e-6")
    choose(page, "LoRA")
    expect(page.locator("#f-train_lora-save_every_n_epochs")).to_have_value("3")
    page.fill("#f-train_lora-network_dim", "16")
    page.fill("#f-train_lora-sample_every_n_epochs", "2")
    choose(page, "Fine-tune")
    expect(page.locator("#f-train-sample_every_n_epochs")).to_have_value("2")
    assert value(page, "train", "learning_rate_te") == "1e-6"
    page.locator('.f[data-flag="save_every_n_epochs"] .reset').click()
    choose(page, "LoRA")
    expect(page.locator("#f-train_lora-save_every_n_epochs")).to_have_value("")
    expect(page.locator("#f-train_lora-network_dim")).to_have_value("16")
    assert value(page, "train_lora", "network_module") == "networks.lora"


def test_how_a_training_learns_and_fits_is_its_own(page: Page) -> None:
    own = {
        "learning_rate": "1e-3", "optimizer_type": "Lion", "lr_scheduler": "cosine", "lr_warmup_steps": "5",
        "max_train_epochs": "3", "train_batch_size": "4", "gradient_accumulation_steps": "2", "mixed_precision": "bf16",
        "gradient_checkpointing": True, "cache_latents": True, "torch_compile": True, "max_grad_norm": "0.5",
    }  # fmt: skip
    trainings = [stage.id for stage in STAGES.values() if stage.trains]
    before = {(stage, flag): value(page, stage, flag) for stage in trainings for flag in own}
    choose(page, "LoRA")
    for flag, text in own.items():
        type_in(page, "train_lora", flag, text)
    after = {(stage, flag): value(page, stage, flag) for stage, flag in before}
    assert after == before | {("train_lora", flag): text for flag, text in own.items()}
    # Taking one back takes nothing from another, though that holds the same.
    type_in(page, "train", "learning_rate", "1e-3")
    page.evaluate("Studio.store.reset('train_lora', 'learning_rate')")
    assert value(page, "train", "learning_rate") == "1e-3"


def test_presets_and_what_another_training_cannot_take_stay_where_they_are(page: Page) -> None:
    page.evaluate("Studio.store.load('train_lora', {name: 'x', values: {learning_rate: 1e-4, seed: 42}})")
    type_in(page, "train_lora", "save_model_as", "pt")
    assert value(page, "train", "learning_rate") == "2e-6" and value(page, "train", "seed") == ""
    assert value(page, "train", "save_model_as") == ""
    type_in(page, "train", "seed", "7")
    assert value(page, "train_lora", "seed") == "7" and value(page, "train_lora", "learning_rate") == "0.0001"
    # What was typed elsewhere is reset with it; what a preset has given is not.
    page.evaluate("Studio.store.reset('train', 'seed')")
    assert value(page, "train_lora", "seed") == "" and value(page, "train_lora", "learning_rate") == "0.0001"


def test_the_settings_of_a_waiting_run_are_its_own(page: Page, gui: Gui) -> None:
    type_in(page, "train", "seed", "1")
    queue = Queue(RunStore(gui.runs_dir))
    queue.pause(True)
    run_id = gui.queue_fake("waits")
    page.evaluate("id => Studio.editing.edit({id, stage: 'train', name: 'waits', chain: null})", run_id)
    page.wait_for_function("Studio.editing.of('train')")
    type_in(page, "train", "seed", "2")
    type_in(page, "train_lora", "resolution", "640,640")
    assert value(page, "train_lora", "seed") == "1" and value(page, "train", "resolution") == ""
    page.evaluate("Studio.editing.leave('train')")
    assert value(page, "train", "seed") == "1"
    queue.request(run_id, "cancel")
    queue.pause(False)


def test_a_model_of_the_other_family_leads_to_its_switch(page: Page, gui: Gui) -> None:
    model = gui.folder / "xl.safetensors"
    tensors = {"model.diffusion_model.input_blocks.0.0.weight": np.zeros((2, 2), np.float16)}
    save_file({**tensors, "conditioner.embedders.x": np.zeros(2, np.float16)}, model)
    page.fill("#f-train-pretrained_model_name_or_path", str(model))
    finding = page.locator('[data-view="train"] .finds li', has_text="This model is SDXL")
    finding.locator("[data-fix]").first.click()
    expect(page.locator("#f-sdxl_full-pretrained_model_name_or_path")).to_have_value(str(model))
    expect(page.locator('[data-view="train"] .finds')).not_to_contain_text("This model is")


def test_the_search_finds_an_option_once_and_in_the_chosen_training(page: Page) -> None:
    found = "Studio.search.find('learning_rate').filter(one => one.flag === 'learning_rate').map(one => one.stage)"
    choose(page, "LoRA")
    assert page.evaluate(found) == ["train_lora"]
    page.evaluate("Studio.search.go({stage: 'sdxl_full', flag: 'block_lr'})")
    expect(page.locator("#f-sdxl_full-block_lr")).to_be_focused()
    assert page.evaluate(found) == ["sdxl_full"]


def test_the_plan_names_the_chosen_training(page: Page, shared: Tab) -> None:
    choose(page, "SDXL")
    shared.select("project")
    name = page.evaluate("Studio.t(`stage.${Studio.stage.current('train')}`)")
    expect(page.locator('.plan [data-tab="train"] .always')).to_have_text(name)
    expect(page.locator('.plan [data-tab="latents"] .always')).to_have_text("made while training")


def test_fields_that_trainings_share_are_sent_once(page: Page) -> None:
    sent = page.evaluate("Studio.data.fields.length")
    drawn = page.evaluate("Object.values(Studio.data.forms).reduce((n, one) => n + Object.keys(one.fields).length, 0)")
    assert sent < 0.6 * drawn
    assert json.dumps(page.evaluate("Studio.data.forms.train.fields.seed")) == json.dumps(
        page.evaluate("Studio.data.forms.train_lora.fields.seed")
    )
