"""The forms in Chromium, as a user meets them at 1440 x 900: what is seen, found, dropped, summed up and saved."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Locator, Page, expect
from safetensors.numpy import save_file

from kohya_gui.layout import LAYOUTS
from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import RunStore
from kohya_gui.stages import STAGES
from sd_scripts.options.spec import option_specs
from tests.page import Gui, Tab, new_tab

MODEL = {
    "model.diffusion_model.input_blocks.0.0.weight": (10, 100),
    "cond_stage_model.transformer.x": (100,),
    "first_stage_model.decoder.conv_in.weight": (50,),
}


@pytest.fixture(scope="module")
def forms(browser: Browser, gui: Gui) -> Iterator[Tab]:
    """One tab for all of these tests, on a project of its own whose latents are made."""
    model = gui.folder / "small.safetensors"
    save_file({name: np.zeros(shape, np.float16) for name, shape in MODEL.items()}, model)
    work = gui.work / "forms"
    work.mkdir(exist_ok=True)
    keys = [str(path) for path in sorted(gui.pictures.glob("*.png"))]
    entries = {key: {"caption": "a colour", "train_resolution": [64, 64 + 8 * (i % 2)]} for i, key in enumerate(keys)}
    (work / "meta_lat.json").write_text(json.dumps(entries))
    with new_tab(browser, gui) as tab:
        tab.make_project("forms", model=model)
        yield tab
        Queue(RunStore(gui.runs_dir)).pause(False)
        gui.end_runs()


@pytest.fixture
def train(forms: Tab) -> Page:
    """The form of training, as it is when nothing was typed."""
    forms.select("train")
    forms.page.evaluate("Studio.stage.choose('train', 'train')")
    forms.page.evaluate("Studio.store.load('train', {name: null, values: {}})")
    forms.page.keyboard.press("Escape")
    forms.page.mouse.move(1, 1)
    forms.page.evaluate("document.activeElement.blur(); scrollTo(0, 0)")
    forms.page.evaluate("document.querySelectorAll('.figures [open]').forEach(one => one.open = false)")
    return forms.page


def field(page: Page, flag: str) -> Locator:
    return page.locator(f'.f[data-flag="{flag}"]:visible')


def figure(page: Page, name: str) -> Locator:
    return page.locator(".figures:visible .fact").filter(has=page.locator(".k", has_text=name)).first


@pytest.mark.parametrize("stage", STAGES)
def test_essentials_are_in_sight_without_scrolling(forms: Tab, stage: str) -> None:
    tab, page = STAGES[stage].tab, forms.page
    forms.select(tab)
    if tab != "metadata":
        page.evaluate("([tab, stage]) => Studio.stage.choose(tab, stage)", [tab, stage])
    page.evaluate("scrollTo(0, 0)")
    form = page.locator(f".kg-fields:has(#sec-{stage}-essentials)")
    # The answer to the form's first check: what was found at paths may make it longer.
    script = Path(STAGES[stage].script).name
    expect(page.locator(f"[data-view={tab}] pre.cmd", has_text=script)).to_be_attached()
    forms.settled()
    end = page.locator("#kg-runbar").bounding_box()
    flags = " ".join(LAYOUTS[stage].groups.values()).split()
    for flag in flags:
        field = form.locator(f'.f[data-flag="{flag}"]')
        if flag in LAYOUTS[stage].shown and not field.is_visible():
            continue
        box = field.bounding_box()
        assert box and end and box["y"] >= 0 and box["y"] + box["height"] <= end["y"], flag
    assert page.evaluate("scrollY") == 0


def test_search_finds_every_option_by_flag_and_label_and_words_of_its_help(forms: Tab) -> None:
    lost = forms.page.evaluate(
        """() => Studio.field.index(Studio.search.isShown).flatMap(one => {
            const isFound = words => Studio.search.find(words.toLowerCase()).some(
                hit => hit.flag === one.flag && hit.label === one.label);
            const words = one.help.split(/\\s+/).slice(0, 6).join(' ');
            return ['--' + one.flag, one.flag, one.label, words].filter(asked => !isFound(asked))
                .map(asked => [one.stage, one.flag, asked]);
        })"""
    )
    assert lost == []
    in_any_order = forms.page.evaluate("Studio.search.find('encoder text').map(hit => hit.flag)")
    assert "train_text_encoder" in in_any_order


@pytest.mark.parametrize("stage", STAGES)
def test_search_jumps_to_hidden_options_too(forms: Tab, stage: str) -> None:
    hidden = [flag for flag in LAYOUTS[stage].shown if not option_specs(STAGES[stage].options)[flag].secret]
    for flag in hidden[:: max(1, len(hidden) // 6)]:
        forms.page.evaluate("there => Studio.search.go(there)", {"stage": stage, "flag": flag})
        expect(forms.page.locator(f"#f-{stage}-{flag}")).to_be_focused()


def test_the_help_hides_neither_the_field_nor_its_error(train: Page) -> None:
    box = train.locator("#f-train-learning_rate")
    box.fill("abc")
    train.locator("#f-train-train_batch_size").focus()
    train.keyboard.press("Tab")
    box.focus()
    box.press("Shift+Tab")
    train.keyboard.press("Tab")
    expect(box).to_be_focused()
    error, tip = field(train, "learning_rate").locator(".err"), train.locator(".kg-tip:visible")
    expect(tip).to_contain_text("0 or more, default 2e-6")
    error_box, tip_box, input_box = error.bounding_box(), tip.bounding_box(), box.bounding_box()
    assert error_box and tip_box and input_box
    assert tip_box["y"] + tip_box["height"] <= input_box["y"]
    train.keyboard.press("Escape")
    expect(tip).to_have_count(0)


def test_the_list_of_sections_follows_the_page(train: Page) -> None:
    on = train.locator(".kg-nav:visible a.on")
    expect(on).to_have_text("Essentials")
    train.mouse.move(600, 500)
    train.mouse.wheel(0, 100_000)
    expect(on).not_to_have_text("Essentials")
    train.mouse.wheel(0, -100_000)
    expect(on).to_have_text("Essentials")
    expect(on).to_have_attribute("aria-current", "location")
    train.locator('.kg-nav:visible a[data-section="about"]').click()
    expect(on).to_have_text("About the file")


def test_the_command_stays_on_screen_whatever_stands_above_it(forms: Tab, train: Page) -> None:
    train.fill("#f-train-save_every_n_epochs", "1")
    for name in ("Batches", "Saves"):
        figure(train, name).locator("summary").click()
        expect(figure(train, name).locator(".parts")).to_be_visible()
    forms.settled()
    end, command = (train.locator(at).bounding_box() for at in ("#kg-runbar", ".kg-rail:visible pre.cmd"))
    assert end and command and command["height"] > 60
    assert command["y"] + command["height"] <= end["y"]


def test_slips_of_the_zero_key_are_refused_while_typing(train: Page) -> None:
    train.fill("#f-train-train_batch_size", "1e99")
    expect(field(train, "train_batch_size").locator(".err")).to_have_text("Must be 4096 or less.")
    expect(train.locator("[data-do=start]:visible")).to_contain_text("Fix 1 field first")
    train.locator("#f-train-train_batch_size").hover()
    field(train, "train_batch_size").locator("label").hover()
    expect(train.locator(".kg-tip:visible")).to_contain_text("1 to 4096 (images)")


def test_a_field_is_marked_when_changed_and_reset_by_one_click(train: Page) -> None:
    train.fill("#f-train-max_train_steps", "20")
    reset = field(train, "max_train_steps").locator(".reset")
    expect(reset).to_be_visible()
    reset.click()
    expect(train.locator("#f-train-max_train_steps")).to_have_value("1600")
    expect(reset).to_be_hidden()


def test_the_summary_says_what_will_happen_and_opens(train: Page) -> None:
    train.fill("#f-train-max_train_epochs", "4")
    train.fill("#f-train-save_every_n_epochs", "1")
    expect(figure(train, "Images")).to_contain_text("4 × 1 = 4")
    expect(figure(train, "Steps per epoch")).to_contain_text("4")
    expect(figure(train, "Saves")).to_contain_text("4 × ")
    figure(train, "Batches").locator("summary").click()
    expect(figure(train, "Batches").locator(".parts")).to_contain_text("64 × 72")
    train.fill("#f-train-train_batch_size", "2")
    expect(figure(train, "Batches")).to_contain_text("2 in 2 buckets")
    expect(figure(train, "Batches").locator(".parts")).to_be_visible()
    expect(figure(train, "Disk needed")).to_be_visible()


def test_a_file_of_datasets_is_summed_up_too(train: Page, gui: Gui) -> None:
    file = gui.folder / "data.toml"
    text = f'[[datasets]]\nresolution = 64\nbatch_size = 2\n[[datasets.subsets]]\nimage_dir = "{gui.pictures}"\n'
    file.write_text(f"{text}num_repeats = 3\n")
    train.evaluate("file => Studio.store.set('train', 'dataset_config', file)", str(file))
    expect(figure(train, "Images")).to_contain_text("4 × 3 = 12")
    expect(figure(train, "Batches")).to_contain_text("6 in 1 bucket")


def test_the_script_is_saved_by_the_browser_and_runs_in_a_terminal(forms: Tab, gui: Gui, tmp_path: Path) -> None:
    forms.select("metadata")
    page = forms.page
    card = page.locator("section[aria-labelledby=step-merge_captions]")
    out = gui.work / "forms" / "from a 'script' 100%.json"
    page.fill("#f-merge_captions-out_json", str(out))
    expect(card.locator("pre.cmd")).to_contain_text("100%")
    card.locator("[data-shell=sh]").click()
    with page.expect_download() as saved:
        card.locator("[data-do=script]").click()
    assert saved.value.suggested_filename == "merge_captions-forms.sh"
    saved.value.save_as(tmp_path / "run.sh")
    subprocess.run(["sh", str(tmp_path / "run.sh")], check=True, capture_output=True, cwd=tmp_path)
    assert len(json.loads(out.read_text())) == 4
    card.locator("[data-shell=cmd]").click()
    with page.expect_download() as saved:
        card.locator("[data-do=script]").click()
    assert saved.value.suggested_filename == "merge_captions-forms.bat"
    text = Path(saved.value.path()).read_bytes().decode()
    assert text.startswith("@echo off\r\n") and "100%%.json" in text and sys.executable in text
    page.fill("#f-merge_captions-train_data_dir", "/nowhere/at/all")
    expect(card.locator(".err:visible").first).to_be_visible()
    card.locator("[data-do=script]").click()
    expect(page.locator(".kg-note.bad").first).to_contain_text("Mend the fields")
    page.evaluate("Studio.store.load('merge_captions', {name: null, values: {}})")


def test_paths_that_were_found_are_offered_again_and_can_be_taken_out(train: Page, gui: Gui) -> None:
    vae = gui.folder / "small.safetensors"
    train.evaluate("Studio.form.jump('train', 'vae')")
    train.fill("#f-train-vae", str(vae))
    train.keyboard.press("Tab")
    expect(field(train, "vae").locator(".found")).to_contain_text("SD1, fp16")
    train.fill("#f-train-vae", "/tmp/not/there.safetensors")
    train.keyboard.press("Tab")
    expect(field(train, "vae").locator(".err")).not_to_be_empty()
    field(train, "vae").locator("[data-browse]").click()
    recent = train.locator(".pb .recent [data-recent]")
    expect(recent).to_have_text([str(vae)])
    recent.click()
    expect(train.locator("#f-train-vae")).to_have_value(str(vae))
    field(train, "vae").locator("[data-browse]").click()
    expect(train.locator(".pb [name=path]")).to_have_value(str(vae))
    expect(train.locator(".pb [aria-current]")).to_contain_text("small.safetensors")
    train.locator(".pb [data-forget]").click()
    expect(recent).to_have_count(0)
    train.keyboard.press("Escape")


DROP = """([selector, kind, text]) => {
    const given = new DataTransfer();
    if (kind === 'Files') given.items.add(new File(['x'], text));
    else given.setData(kind, text);
    const place = document.querySelector(selector);
    for (const name of ['dragover', 'drop'])
        place.dispatchEvent(new DragEvent(name, {dataTransfer: given, bubbles: true, cancelable: true}));
}"""


def test_a_dropped_path_is_taken_and_of_a_dropped_file_the_page_says_what_to_do(train: Page, gui: Gui) -> None:
    box = "#f-train-pretrained_model_name_or_path"
    odd = gui.folder / "a model.safetensors"
    odd.write_bytes((gui.folder / "small.safetensors").read_bytes())
    train.evaluate(DROP, [box, "text/uri-list", f"# from a file manager\r\n{odd.as_uri()}\r\n"])
    expect(train.locator(box)).to_have_value(str(odd))
    expect(field(train, "pretrained_model_name_or_path").locator(".found")).to_contain_text("SD1, fp16")
    train.evaluate(DROP, [box, "text/plain", str(gui.folder / "small.safetensors")])
    expect(train.locator(box)).to_have_value(str(gui.folder / "small.safetensors"))
    train.evaluate(DROP, [box, "Files", "mine.safetensors"])
    expect(train.locator(".kg-note").last).to_contain_text("Browsers do not tell where “mine.safetensors” lies")
    expect(train.locator(box)).to_have_value(str(gui.folder / "small.safetensors"))
    train.evaluate(DROP, [".kg-nav", "Files", "mine.safetensors"])
    assert train.url.startswith(gui.url)


def test_what_a_finding_speaks_of_is_shown(forms: Tab, train: Page, gui: Gui) -> None:
    # What was looked for stays in sight until the page is loaded anew.
    forms.open("train")
    train.evaluate("Studio.form.openSection('train', 'model')")
    expect(train.locator('.f[data-flag="no_half_vae"]')).to_be_hidden()
    train.select_option("#f-train-mixed_precision", "bf16")
    expect(train.locator('.f[data-flag="no_half_vae"]')).to_be_visible()
    expect(train.locator("#sec-train-model .f[data-flag=v_parameterization]")).to_be_hidden()
    tensors = {name: np.zeros(shape, np.float16) for name, shape in MODEL.items()}
    velocity = gui.folder / "velocity.safetensors"
    save_file(tensors, velocity, {"modelspec.prediction_type": "v"})
    train.fill("#f-train-pretrained_model_name_or_path", str(velocity))
    expect(train.locator("#sec-train-model .f[data-flag=v_parameterization]")).to_be_visible()


def test_a_check_that_fails_leaves_nothing_of_the_old_answer(train: Page) -> None:
    expect(figure(train, "Images")).to_be_visible()
    train.evaluate("Studio.kept_project = Studio.store.state.project; Studio.store.state.project = {name: {}}")
    train.fill("#f-train-max_train_steps", "77")
    finds = train.locator(".kg-rail:visible .finds")
    expect(finds).to_contain_text("This could not be checked")
    expect(train.locator(".figures:visible .fact")).to_have_count(0)
    expect(train.locator(".kg-rail:visible pre.cmd")).not_to_contain_text("fine_tune.py")
    train.evaluate("Studio.store.state.project = Studio.kept_project")
    train.fill("#f-train-max_train_steps", "78")
    expect(train.locator(".kg-rail:visible pre.cmd")).to_contain_text("--max_train_steps 78")


def test_opening_another_project_ends_the_edit_of_a_waiting_run(forms: Tab, gui: Gui) -> None:
    page, queue = forms.page, Queue(RunStore(gui.runs_dir))
    queue.pause(True)
    facts = {"title": "", "argv": [sys.executable, "-c", ""], "work_dir": str(gui.work), "project": "forms"}
    run_id = queue.add("train", "waits", **facts, values={"max_train_steps": 123}).id
    forms.select("train")
    page.fill("#f-train-max_train_steps", "55")
    page.evaluate("id => Studio.editing.edit({id, stage: 'train', name: 'waits', chain: null})", run_id)
    expect(page.locator("#f-train-max_train_steps")).to_have_value("123")
    page.evaluate("Studio.store.take(null)")
    expect(page.locator(".kg-note").last).to_contain_text("waits is not edited any more")
    expect(page.locator(".kg-rail:visible .edited")).to_be_hidden()
    page.evaluate("Studio.store.open('forms')")
    expect(page.locator("#f-train-max_train_steps")).to_have_value("55")
    assert queue.store.record(run_id).values == {"max_train_steps": 123}
    page.evaluate("Studio.store.load('train', {name: null, values: {}})")
