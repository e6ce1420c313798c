"""Markup in whatever the page shows stays text: a real server, Chromium, every tab, both languages, light and dark."""

import json
import shlex
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, Page
from safetensors.numpy import save_file

from kohya_gui.app import TABS
from kohya_gui.runs.store import Outcome
from sd_scripts.library import events
from tests.door_words.bombs import BOMB, NAME, SHORT, WATCH
from tests.page import Gui, Tab, new_tab, served

SEEN = """selector => [...document.querySelectorAll(selector)].some(one =>
    one.checkVisibility() && `${one.value ?? ""} ${one.textContent}`.includes("data-planted"))"""


REPORT = "report => void Studio.dialog.open({ title: report.name, body: Studio.importing.report(report) })"


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with served(tmp_path_factory.mktemp("markup"), pictures=1) as gui:
        plant_files(gui)
        yield gui


@pytest.fixture(scope="module")
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        tab.page.add_init_script(WATCH)
        tab.open()
        plant_by_the_page(tab, gui)
        tab.open()
        tab.page.wait_for_function("Studio.store.state.project !== null")
        yield tab


def folder_of(gui: Gui) -> Path:
    return gui.folder / NAME


def plant_files(gui: Gui) -> None:
    """A folder, pictures, captions, tags, a metadata file and a model, all named and filled with markup."""
    folder = folder_of(gui)
    folder.mkdir()
    for name in (NAME, "plain"):
        Image.new("RGB", (64, 64)).save(folder / f"{name}.png")
        (folder / f"{name}.caption").write_text(BOMB)
        (folder / f"{name}.txt").write_text(f"{SHORT}, sky")
    (folder / "broken.png").write_text(BOMB)
    entry = {"caption": BOMB, "tags": f"{SHORT}, sky", "train_resolution": [64, 64]}
    (gui.work / f"{NAME}.json").write_text(json.dumps({str(folder / f"{NAME}.png"): entry}))
    facts = dict.fromkeys(
        ("modelspec.title", "ss_output_name", "ss_network_module", "ss_tag_frequency", "ss_optimizer"), BOMB
    )
    save_file({"x.weight": np.zeros((2, 2), np.float16)}, gui.work / f"{NAME}.safetensors", {**facts, BOMB[:60]: BOMB})


def plant_runs(gui: Gui) -> list[str]:
    """Two runs of the past, of which everything that a script can tell is markup, and one that runs."""
    picture = gui.work / f"{NAME}.png"
    Image.new("RGB", (32, 32)).save(picture)
    told: list[events.Event] = [
        events.Phase(name=BOMB, total=2),
        *(events.Metric(step=step, epoch=1, values={"loss": 1.0, "lr": 1.0, f"lr/{SHORT}": 1.0}) for step in (1, 2, 3)),
        events.Sample(path=str(picture), prompt=BOMB, index=0, step=1, epoch=1, label=BOMB),
        events.Sample(path=str(picture), prompt=BOMB, index=0, step=2, epoch=1),
        events.Saved(path=str(picture), kind=BOMB, size_bytes=1),
        events.ItemFailed(item=BOMB, reason=BOMB),
        events.Notice(level="warning", text=BOMB),
        events.Summary(counts={BOMB: 1}, tables={BOMB: [{BOMB: BOMB, "images": 1}]}),
        events.Failed(sentence=BOMB, option=SHORT),
    ]
    log = f"\x1b[31m{BOMB}\x1b[0m\n\x1b]0;title\x07 {BOMB}\n" * 3
    ended = {"started": time.time() - 9, "ended": time.time(), "sentence": BOMB, "option": SHORT}
    values = [{"output_name": BOMB, "seed": 1}, {"output_name": SHORT, "seed": 2}]
    past = [gui.past_training(NAME, told, Outcome(state="failed", **ended), one, log) for one in values]
    return [*past, gui.queue_fake(NAME, "--steps", "100000", "--step_s", "0.1")]


def call(tab: Tab, name: str, /, **args: object) -> dict:
    answer: dict = tab.page.evaluate("([name, args]) => Studio.call(name, args)", [name, args])
    return answer


def plant_by_the_page(tab: Tab, gui: Gui) -> None:
    """A project, presets and notes, as the page itself keeps them."""
    pictures = [str(folder_of(gui)), str(gui.pictures)]
    project = {"name": "meadow", "pictures": pictures, "work_dir": str(gui.work / NAME)}
    assert "name" in call(tab, "project_save", project={**project, "name": SHORT})["errors"]
    assert "project" in call(tab, "project_save", project=project)
    # The page takes no such name; somebody else's file may hold one.
    kept = gui.runs_dir / "projects.json"
    kept.write_text(kept.read_text().replace('"meadow"', json.dumps(SHORT)))
    for stage in ("train", "caption_blip"):
        assert "preset" in call(tab, "preset_save", stage=stage, name=SHORT, description=BOMB, values={})
    ids = plant_runs(gui)
    for id in ids:
        assert "row" in call(tab, "run_mark", id=id, note=BOMB, name=None, starred=None)


def shown(page: Page, selector: str) -> None:
    """The text is there: as text."""
    page.wait_for_function(SEEN, arg=selector)


def harmless(tab: Tab) -> None:
    """Nothing that a text said was done, and no text became an element."""
    assert tab.page.evaluate("[window.hacked, window.planted]") == [None, []]


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_every_tab(tab: Tab, lang: str) -> None:
    page = tab.page
    page.evaluate("lang => Studio.speak(lang)", lang)
    page.click("[data-do=theme]")
    for name in TABS:
        tab.select(name)
        page.wait_for_timeout(150)
    shown(page, "#kg-runbar")
    shown(page, ".kg")
    # Letters that a name turns around turn nothing beside it.
    assert page.evaluate("getComputedStyle(document.querySelector('#kg-runbar .nm')).unicodeBidi") == "isolate"
    harmless(tab)
    tab.shot(f"markup-{lang}")


def test_a_run_with_everything_that_it_told_its_log_and_a_comparison(tab: Tab) -> None:
    page = tab.page
    tab.select("runs")
    ids = page.evaluate("Studio.call('runs').then(all => all.history.map(one => one.id))")
    for id in ids:
        page.evaluate("id => Studio.fire('show run', id)", id)
        for part in ("top", "failure", "phases", "samples", "saved", "skipped", "tables", "log"):
            shown(page, f".kg-mon [data-part={part}]")
    page.click("[data-part=samples] [data-cell] >> nth=0")
    shown(page, "dialog")
    page.keyboard.press("Escape")
    page.click("[data-log=search]")
    page.keyboard.type("data-planted")
    page.wait_for_selector(".kg-mon mark")
    page.evaluate("ids => { Studio.compare.show(ids); }", ids)
    page.evaluate("document.querySelector('.kg-cmp').hidden = false")
    shown(page, ".kg-cmp")
    harmless(tab)


def test_pictures_their_texts_and_what_is_wrong_with_them(tab: Tab) -> None:
    page = tab.page
    tab.select("dataset")
    page.wait_for_function("Studio.album.info() && !Studio.album.info().busy")
    shown(page, ".ds-cell")
    page.locator(".ds-cell").last.click()
    for pane in page.eval_on_selector_all("[name=ds-pane]", "all => all.map(one => one.value)"):
        page.click(f".ds-panes label:has([value={pane}])")
        page.wait_for_timeout(200)
    shown(page, "[data-view=dataset]")
    harmless(tab)


def test_forms_findings_commands_presets_and_imports(tab: Tab, gui: Gui) -> None:
    page = tab.page
    tab.select("train")
    tab.fill(
        "train", output_name=BOMB.replace("\u202e", ""), in_json=str(gui.work / f"{NAME}.json"), optimizer_args=BOMB
    )
    shown(page, ".kg-rail")
    shown(page, ".kg-rail .finds")
    page.click("[data-do=preset]")
    shown(page, "dialog.presets")
    page.keyboard.press("Escape")
    settings = {"LoRA_type": "Standard", "learning_rate": BOMB, SHORT: BOMB, "optimizer": BOMB}
    command = f"python fine_tune.py --mystery {shlex.quote(BOMB)} --seed {shlex.quote(SHORT)}"
    answers = [call(tab, "preset_import", stage="train", text=text) for text in (json.dumps(settings), command)]
    for answer in (*answers, call(tab, "preset_import_model", path=str(gui.work / f"{NAME}.safetensors"))):
        page.evaluate(REPORT, answer["report"])
        shown(page, "dialog[open] .rep")
        page.keyboard.press("Escape")
    page.evaluate("text => Studio.dialog.say(text, { trouble: true })", BOMB)
    shown(page, ".kg-note")
    harmless(tab)


def test_the_window_says_what_runs_as_text(tab: Tab) -> None:
    tab.page.wait_for_function("document.title.includes('data-planted')")
    harmless(tab)
