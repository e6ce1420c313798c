"""The page in Chromium: what is typed, refused, kept, found, run and lost."""

import re

import pytest
from gradio_client import Client
from playwright.sync_api import expect

from kohya_gui.api import Studio
from kohya_gui.app import TABS
from kohya_gui.layout import LISTED
from kohya_gui.stages import STAGES
from sd_scripts.options.optimizer import OPTIMIZERS
from sd_scripts.options.spec import option_specs
from sd_scripts.options.values import BadValue, read_value
from tests.page import Gui, Tab
from tests.states import write_state

ATTACK = '<img src=x onerror="window.hacked=1">'


def test_a_project_is_typed_once_and_refused_in_words(tab: Tab, gui: Gui) -> None:
    tab.open()
    page = tab.page
    page.evaluate("Studio.store.take(null)")
    page.fill("#pr-name", "first")
    page.fill("#pr-pictures-0", str(gui.folder / "nowhere"))
    page.fill("#pr-work_dir", str(gui.work))
    page.click("[data-do=create]")
    expect(page.locator(".f[data-field=pictures] > .err")).to_contain_text("There is no folder")
    expect(page.locator("#pr-pictures-0")).to_have_attribute("aria-invalid", "true")
    page.fill("#pr-pictures-0", str(gui.pictures))
    page.click("[data-do=create]")
    expect(page.locator("[data-do=project] b")).to_have_text("first")
    expect(page.locator(".f[data-field=pictures] .found")).to_contain_text("4 images")


def test_project_values_fill_the_stages_typing_breaks_the_link_and_reset_restores_it(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    tab.select("caption")
    box = page.locator("#f-caption_blip-train_data_dir")
    field = page.locator('.f[data-flag="train_data_dir"]:visible')
    expect(box).to_have_value(str(gui.pictures))
    expect(field.locator(".from")).to_have_text("from Project")
    box.fill(str(gui.work))
    expect(field.locator(".from")).to_be_hidden()
    field.locator(".reset").click()
    expect(box).to_have_value(str(gui.pictures))
    expect(field.locator(".from")).to_have_text("from Project")


def test_a_wrong_value_is_refused_beside_its_field_and_start_goes_there(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("caption")
    rail, field = page.locator(".kg-rail:visible"), page.locator('.f[data-flag="batch_size"]:visible')
    expect(rail.locator("pre.cmd")).to_contain_text("make_captions.py")
    page.fill("#f-caption_blip-batch_size", "2.5")
    expect(field.locator(".err")).to_have_text("2.5 must be a whole number.")
    expect(page.locator("#f-caption_blip-batch_size")).to_have_value("2.5")
    expect(rail.locator("[data-do=start]")).to_contain_text("Fix 1 field first")
    expect(rail.locator(".finds")).to_contain_text("Batch size: 2.5 must be a whole number.")
    page.locator("#f-caption_blip-max_length").focus()
    rail.locator("[data-do=start]").click()
    expect(page.locator("#f-caption_blip-batch_size")).to_be_focused()
    page.fill("#f-caption_blip-batch_size", "4")
    expect(field.locator(".err")).to_be_empty()
    expect(rail.locator("pre.cmd")).to_contain_text("--batch_size 4")


def test_an_unfinished_number_waits_until_the_field_is_left(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("train")
    error = page.locator('.f[data-flag="learning_rate"]:visible .err')
    page.fill("#f-train-learning_rate", "5e-")
    expect(error).to_be_empty()
    page.locator("#f-train-max_train_steps").focus()
    expect(error).to_contain_text("is not a number")
    page.fill("#f-train-learning_rate", "2e-6")


def test_the_browser_checks_as_the_command_line_does(tab: Tab) -> None:
    tab.open()
    numbers = ["1", "0", "-1", "2.5", "1e-5", "5e", " 3 ", "0x10", "1_000", "nan", "inf", "512", "75", "+4"]
    typed = [*numbers, "abc", "cosine", "fp16"]
    for stage in STAGES.values():
        for flag, spec in option_specs(stage.options).items():
            if spec.kind == "bool" or flag in LISTED:
                continue
            page_says = tab.page.evaluate(
                "([stage, flag, typed]) => typed.map(one => Studio.check(Studio.store.fields(stage)[flag], one))",
                [stage.id, flag, typed],
            )
            for text, sentence in zip(typed, page_says, strict=True):
                assert bool(sentence) == _refused(spec, text), (stage.id, flag, text, sentence)


def _refused(spec: object, text: str) -> bool:
    try:
        read_value(spec, text)  # type: ignore[arg-type]
    except BadValue:
        return True
    return False


def test_a_secret_is_neither_taken_nor_kept(tab: Tab) -> None:
    """It cannot be typed; what brings one along all the same, such as an older page's settings, is refused."""
    tab.make_project()
    page = tab.page
    tab.select("train")
    page.evaluate("Studio.store.set('train', 'huggingface_token', 'hf_secret')")
    page.evaluate("Studio.search.go({ stage: 'train', flag: 'huggingface_token' })")
    page.fill("#f-train-learning_rate", "4.711e-6")
    expect(page.locator('.f[data-flag="huggingface_token"]:visible .err')).to_contain_text("The page keeps no secrets")
    expect(page.locator(".kg-rail:visible pre.cmd")).not_to_contain_text("hf_secret")
    page.wait_for_function("JSON.stringify(localStorage).includes('4.711e-6')")
    assert "hf_secret" not in page.evaluate("JSON.stringify(localStorage)")


def test_values_survive_other_tabs_and_a_reload(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("train")
    page.fill("#f-train-learning_rate", "3e-6")
    page.locator("#f-train-train_text_encoder").check()
    tab.select("tag")
    tab.select("train")
    expect(page.locator("#f-train-learning_rate")).to_have_value("3e-6")
    tab.open("train")
    expect(page.locator("#f-train-learning_rate")).to_have_value("3e-6")
    expect(page.locator("#f-train-train_text_encoder")).to_be_checked()


def test_fields_are_shown_when_they_matter_and_search_finds_the_hidden(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("train")
    page.locator('.kg-nav a[data-section="captions"]').click()
    hidden = page.locator('.f[data-flag="keep_tokens"]')
    expect(hidden).to_be_hidden()
    page.locator("#f-train-shuffle_caption").check()
    expect(hidden).to_be_visible()
    page.locator('.kg-nav a[data-section="model"]').click()
    page.locator("#f-train-v2").check()
    expect(page.locator('.f[data-flag="clip_skip"]')).to_be_hidden()
    page.locator("#f-train-v2").uncheck()
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("/")
    page.keyboard.type("use_lion")
    expect(page.locator("#kg-hits [aria-selected=true]")).to_contain_text("--use_lion_optimizer")
    page.keyboard.press("Enter")
    expect(page.locator("#f-train-use_lion_optimizer")).to_be_focused()


def test_a_secret_cannot_be_typed_and_its_help_says_where_it_goes(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("train")
    page.keyboard.press("/")
    page.keyboard.type("wandb_api_key")
    page.keyboard.press("Enter")
    field = page.locator("#f-train-wandb_api_key")
    expect(field).to_be_focused()
    expect(field).not_to_be_editable()
    page.keyboard.type("very secret")
    expect(field).to_have_value("")
    expect(page.locator(".kg-tip:visible, [role=tooltip]:visible").first).to_contain_text("WANDB_API_KEY")


def test_names_to_choose_from_open_in_full_and_others_may_be_typed(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("train")
    box, field = page.locator("#f-train-optimizer_type"), page.locator('.f[data-flag="optimizer_type"]:visible')
    box.fill("AdamW8bit")
    field.locator("[data-names-open]").click()
    expect(field.locator("[role=option]")).to_have_text(list(OPTIMIZERS))
    expect(field.locator(".head").first).to_have_text("Usual")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(box).to_have_value("PagedAdamW8bit")
    expect(box).to_have_attribute("aria-expanded", "false")
    expect(page.locator(".kg-rail:visible pre.cmd")).to_contain_text("--optimizer_type PagedAdamW8bit")
    box.press("Control+a")
    box.press_sequentially("lion8")
    expect(field.locator("[role=option]")).to_have_text(["Lion8bit", "PagedLion8bit"])
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(box).to_have_value("PagedLion8bit")
    box.fill("Adamm")
    expect(field.locator(".err")).to_contain_text('"Adamm" is no known optimizer. Known are Ada')
    box.fill("torch.optim.RAdam")
    expect(field.locator(".err")).to_be_empty()
    field.locator(".reset").click()


def test_a_preset_is_saved_loaded_and_deleted(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("tag")
    page.fill("#f-tag_wd14-thresh", "0.5")
    page.click("[data-do=preset]")
    page.fill(".pre-save [name=name]", "strict")
    page.click(".pre-save button")
    expect(page.locator(".pre-item[aria-pressed=true]")).to_have_text("strict")
    page.keyboard.press("Escape")
    expect(page.locator("[data-do=preset] b")).to_have_text("strict")
    page.fill("#f-tag_wd14-thresh", "0.2")
    page.fill("#f-tag_wd14-undesired_tags", "text")
    expect(page.locator("[data-do=preset] .chip")).to_have_text("2 changed")
    page.click("[data-do=preset]")
    page.click('.pre-item:has-text("strict")')
    expect(page.locator(".diff")).to_contain_text("0.2 → 0.5")
    page.click("[data-step=apply]")
    expect(page.locator("#f-tag_wd14-thresh")).to_have_value("0.5")
    expect(page.locator("#f-tag_wd14-undesired_tags")).to_have_value("")
    page.click("[data-do=preset]")
    page.click('.pre-item:has-text("strict")')
    page.click("[data-step=remove]")
    page.click("[data-yes]")
    expect(page.locator('.pre-item:has-text("strict")')).to_have_count(0)


def test_a_folder_is_chosen_in_the_browser_and_nothing_outside_the_roots(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    tab.select("caption")
    page.locator('.f[data-flag="train_data_dir"]:visible [data-browse]').click()
    expect(page.locator(".pb .found")).to_contain_text("4 images")
    page.fill(".pb [name=path]", "/")
    page.keyboard.press("Enter")
    expect(page.locator(".pb .err")).to_contain_text("outside")
    page.fill(".pb [name=path]", str(gui.work))
    page.click("[data-choose]")
    expect(page.locator("#f-caption_blip-train_data_dir")).to_have_value(str(gui.work))


def test_the_language_changes_tabs_labels_and_sentences_and_is_remembered(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("train")
    page.fill("#f-train-learning_rate", "x")
    page.click("[data-do=lang]")
    expect(page.get_by_role("tab", name="学習")).to_be_visible()
    expect(page.locator('.f[data-flag="learning_rate"]:visible label')).to_have_text("学習率")
    expect(page.locator('.f[data-flag="learning_rate"]:visible .err')).to_contain_text("「x」は数値ではありません")
    tab.open("train")
    expect(page.get_by_role("tab", name="学習")).to_be_visible()
    expect(page.locator("html")).to_have_attribute("lang", "ja")


def test_a_run_is_watched_survives_a_reload_and_is_stopped(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    gui.queue_fake(ATTACK, "--steps", "2000", "--step_s", "0.5")
    expect(page.locator(".kg-rb .nm")).to_have_text(ATTACK)
    page.wait_for_function("document.title.includes('%')")
    tab.select("train")
    expect(page.locator(".kg-rail:visible .now")).to_be_visible()
    tab.open("runs")
    expect(page.locator(".kg-mon .top h2")).to_have_text(ATTACK)
    expect(page.locator(".ph.now .d")).to_contain_text("of 2,000")
    expect(page.locator("[data-chart=loss] path")).to_have_count(2)
    expect(page.locator(".kg-mon .facts")).to_contain_text("loss, smoothed")
    page.click("[data-request=stop]")
    page.click("[data-yes]")
    expect(page.locator(".kg-list .run").first.locator(".st")).to_have_class(re.compile("stopped"))
    expect(page.locator(".kg-rb")).to_contain_text("Nothing is running")
    assert page.evaluate("window.hacked") is None


def test_a_stopped_training_goes_on_from_its_state(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page, state = tab.page, str(write_state(gui.work / "half-state"))
    run_id = gui.queue_fake("half", "--steps", "2000", "--step_s", "0.5", "--state", state)
    tab.open("runs")
    page.click(f'.run[data-run="{run_id}"]')
    expect(page.locator(".ph.now .d")).to_contain_text("of 2,000")
    expect(page.locator("[data-ways]")).to_have_count(0)
    page.evaluate("id => Studio.call('run_request', {id, request: 'stop'})", run_id)
    page.locator("[data-ways]").click()
    ways = [re.compile("Resume.*All as it was", re.DOTALL), re.compile("Branch.*changed settings", re.DOTALL)]
    expect(page.get_by_role("menuitem")).to_have_text(ways)
    page.get_by_role("menuitem", name="Resume").click()
    expect(page.locator("#f-train-resume")).to_have_value(state)
    page.get_by_role("button", name="Undo").last.click()
    page.wait_for_function("!Studio.store.typed('train').resume")
    tab.open("runs")
    page.locator("[data-ways]").click()
    page.get_by_role("menuitem", name="Branch").click()
    expect(page.locator("#f-train-branch")).to_have_value(state)
    assert page.evaluate("Studio.store.typed('train').output_name") == "last-2"
    page.get_by_role("button", name="Undo").click()


def test_the_monitor_follows_a_chain_and_the_focus_stays(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    seen = gui.work / "seen"
    first, last = gui.queue_chain(("first", "--until", str(seen)), ("last", "--steps", "2000", "--step_s", "0.5"))
    tab.select("runs")
    expect(page.locator(".kg-mon .top h2")).to_have_text("first")
    expect(page.locator(f'.run[data-run="{last}"]')).to_contain_text("It waits for first (Fine-tuning).")
    stop = page.locator(".kg-rb [data-stop]")
    stop.focus()
    seen.touch()
    expect(page.locator(".kg-mon .top h2")).to_have_text("last")
    expect(stop).to_have_attribute("data-stop", last)
    expect(stop).to_be_focused()
    page.locator(f'.run[data-run="{first}"]').click()
    expect(page.locator(".kg-mon .top h2")).to_have_text("first")
    page.evaluate("id => Studio.call('run_request', {id, request: 'kill'})", last)
    expect(page.locator(".kg-rb")).to_contain_text("Nothing is running")
    expect(page.locator(".kg-mon .top h2")).to_have_text("first")


def test_a_failed_run_says_why(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    gui.queue_fake("broken", "--steps", "2", "--then", "fail")
    tab.select("runs")
    tab.page.click('.run:has-text("broken")')
    expect(tab.page.locator(".fail h2")).to_have_text("The loss is not a number.")
    expect(tab.page.locator(".fail pre")).to_contain_text("Error: The loss is not a number.")
    expect(tab.page.locator("[data-act=again]")).to_be_visible()


def test_a_stage_is_started_from_its_tab(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    tab.select("metadata")
    card = page.locator("section[aria-labelledby=step-merge_captions]")
    expect(card.locator("pre.cmd")).to_contain_text("merge_captions_to_metadata.py")
    card.locator("[data-do=start]").click()
    expect(page.locator(".kg-note").first).to_contain_text("Merge captions")
    page.wait_for_function("Studio.runs.lists().history.some(row => row.stage === 'merge_captions')")


def test_a_warning_is_asked_once_and_is_no_error(tab: Tab) -> None:
    tab.make_project()
    page = tab.page
    tab.select("caption")
    start = page.locator(".kg-rail:visible [data-do=start]")
    start.click()
    expect(page.locator(".kg-note.mind")).to_contain_text("will be replaced")
    expect(page.locator(".kg-note.bad")).to_have_count(0)
    expect(start).to_contain_text("anyway")


def test_a_project_of_several_folders_offers_each(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    second = gui.folder / "second"
    second.mkdir(exist_ok=True)
    (second / "p.png").write_bytes((gui.pictures / "p0.png").read_bytes())
    page.click("[data-do=add]")
    page.fill("#pr-pictures-1", str(second))
    page.wait_for_function("Studio.store.state.project.pictures.length === 2")
    tab.select("caption")
    page.locator(".kg-rail:visible .folder select").select_option("1")
    expect(page.locator("#f-caption_blip-train_data_dir")).to_have_value(str(second))
    expect(page.locator(".kg-rail:visible pre.cmd")).to_contain_text(str(second))
    tab.select("project")
    page.click('[data-do=drop][data-folder="1"]')
    page.wait_for_function("Studio.store.state.project.pictures.length === 1")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_nothing_is_wider_than_a_phone(tab: Tab, lang: str) -> None:
    tab.make_project()
    tab.page.set_viewport_size({"width": 390, "height": 844})
    tab.page.evaluate("lang => Studio.speak(lang)", lang)
    for name in TABS:
        tab.select(name)
        tab.settled()
        tab.fits()


def test_every_control_has_a_name(tab: Tab) -> None:
    tab.make_project()
    nameless = """name => {
        const named = one => one.ariaLabel || one.textContent.trim() || one.labels?.[0]?.textContent.trim();
        return [...document.querySelectorAll(`[data-view="${name}"] :is(input, select, button, a)`)]
            .filter(one => !one.closest('[hidden]') && !named(one)).map(one => one.outerHTML);
    }"""
    for name in ("header", *TABS, "runbar"):
        if name in TABS:
            tab.select(name)
        assert tab.page.evaluate(nameless, name) == []


def test_every_action_is_a_named_endpoint_of_the_gradio_api(gui: Gui) -> None:
    # The client takes every answer with a "path" for a file to download, unless it is told not to.
    client = Client(gui.url, verbose=False, download_files=False, httpx_kwargs={"timeout": 60})
    named = client.view_api(print_info=False, return_format="dict")["named_endpoints"]
    assert set(named) == {f"/{name}" for name in Studio.ENDPOINTS}
    assert client.predict({"path": str(gui.pictures), "kind": "pictures"}, api_name="/browse")["path"] == str(
        gui.pictures
    )
    assert "error" in client.predict({"nonsense": 1}, api_name="/browse")
    client.close()


def test_the_page_says_when_it_lost_the_server_and_finds_it_again(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    gui.stop()
    bar = tab.page.locator(".kg-rb")
    expect(bar).to_contain_text("The page lost the server.")
    gui.start()
    expect(bar).to_contain_text("Nothing is running")
    tab.select("caption")
    expect(tab.page.locator("#f-caption_blip-train_data_dir")).to_have_value(str(gui.pictures))


def test_words_with_spaces_and_quotes_come_back_from_a_preset_as_they_were(tab: Tab) -> None:
    tab.make_project()
    tab.select("train")
    words = ["betas=(0.9, 0.99)", "weight_decay=0.01", "it's", 'say="x"']
    tab.page.evaluate("words => Studio.store.load('train', {name: '', values: {optimizer_args: words}})", words)
    shown = tab.page.evaluate("Studio.store.value('train', 'optimizer_args')")
    assert read_value(option_specs(STAGES["train"].options)["optimizer_args"], shown) == words


def test_pictures_that_change_are_offered_only_while_nothing_is_kept(tab: Tab) -> None:
    tab.make_project()
    tab.select("train")
    tab.page.evaluate("Studio.form.openSection('train', 'pictures')")
    box = tab.page.locator('.f[data-flag="color_aug"]')
    expect(box).to_be_visible()
    tab.page.evaluate("Studio.store.set('train', 'cache_latents_to_disk', true)")
    expect(box).to_be_hidden()
    tab.page.evaluate("Studio.store.reset('train', 'cache_latents_to_disk')")
    expect(box).to_be_visible()
