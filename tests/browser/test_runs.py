"""Two folders trained together; their training stopped, resumed, and found again after reloads and crashes."""

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from sd_scripts.library.example.sd_models import make_sd1
from tests.browser.runs import show_run, start, steps_done, stop_shown, wait_for_rows
from tests.page import Gui, Tab, new_tab, until

CHAIN = ["merge_captions", "merge_captions", "merge_tags", "merge_tags", "clean", "latents", "latents", "train"]
SMALL = {"max_resolution": "128,128", "min_bucket_reso": 64, "max_bucket_reso": 256, "batch_size": 2}


def make_pictures(folder: Path, sizes: list[tuple[int, int]], seed: int) -> Path:
    """Pictures of noise with their captions and tags; names repeat between folders."""
    folder.mkdir(parents=True)
    random = np.random.default_rng(seed)
    for i, (width, height) in enumerate(sizes):
        Image.fromarray(random.integers(0, 255, (height, width, 3), np.uint8)).save(folder / f"{i}.png")
        (folder / f"{i}.caption").write_text(f"noise number {i} of {folder.name}", encoding="utf-8")
        (folder / f"{i}.txt").write_text(f"noise, {folder.name}", encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pair(browser: Browser, gui: Gui) -> Iterator[Path]:
    """The working folder of a project of two folders, after its pipeline without captioner and tagger."""
    folder = gui.folder / "pair"
    folders = [make_pictures(folder / "day", [(128, 128)] * 3, 1), make_pictures(folder / "night", [(96, 160)] * 2, 2)]
    model = make_sd1(folder / "tiny.safetensors")
    with new_tab(browser, gui) as tab:
        tab.make_project("pair", folders, model)
        tab.fill("latents", **SMALL)
        tab.fill("train", max_train_steps=4, train_batch_size=1, max_data_loader_n_workers=0, seed=7)
        tab.select("project")
        for kind in ("caption", "tagger"):
            tab.page.locator(f'input[name="plan-{kind}"][value="none"]').check(force=True)
        tab.shot("two_folders")
        tab.page.click("[data-do=pipeline]")
        tab.page.wait_for_selector(".kg-runs")
        wait_for_rows(tab, "pair", len(CHAIN))
    yield gui.work / "pair"


@pytest.fixture
def training(tab: Tab, pair: Path) -> Tab:
    """A long training of both folders, started from the Train tab and shown."""
    tab.make_project("pair")
    tab.fill("train", max_train_steps=20_000, train_batch_size=1, max_data_loader_n_workers=0, seed=7)
    tab.fill("train", output_name="long")
    start(tab, "train")
    return tab


def test_two_folders_go_through_the_pipeline_together(tab: Tab, gui: Gui, pair: Path) -> None:
    tab.make_project("pair")
    ended = [row for row in tab.page.evaluate("Studio.call('runs')")["history"] if row["name"].startswith("pair")]
    first = [row for row in ended if row["chain"] == ended[-1]["chain"]]
    assert [row["stage"] for row in reversed(first)] == CHAIN
    assert {row["state"] for row in first} == {"done"}
    entries = json.loads((pair / "meta_lat.json").read_text(encoding="utf-8"))
    folders = [gui.folder / "pair" / name for name in ("day", "night")]
    assert sorted(entries) == sorted(str(path) for folder in folders for path in folder.glob("*.png"))
    assert entries[str(folders[1] / "0.png")]["caption"].startswith("noise number 0 of night")
    assert entries[str(folders[0] / "0.png")]["train_resolution"] == [128, 128]
    show_run(tab, "pair", "Fine-tuning")
    expect(tab.page.locator("pre.log")).to_contain_text("5 pictures to train")
    assert (pair / "output" / "pair.safetensors").stat().st_size > 1_000_000


def test_a_stopped_training_goes_on_where_it_stood(training: Tab, gui: Gui, pair: Path) -> None:
    page = training.page
    steps_done(training, 2)
    row = stop_shown(training)
    training.shot("stopped")
    expect(page.locator(".kg-mon .st").first).to_have_class(re.compile("stopped"))
    (state,) = (pair / "output").glob("long*-state")
    step = json.loads((state / "state.json").read_text(encoding="utf-8"))["step"]
    expect(page.locator("pre.log")).to_contain_text(f"Go on with --resume {state}")
    expect(page.locator(".kg-mon .ph").last).to_contain_text(f"{step} of 20,000")
    stopped = row.get_attribute("data-run")

    training.fill("train", resume=state)
    expect(page.locator('.f[data-flag="resume"] .found')).not_to_be_empty()
    resumed = start(training, "train")
    assert steps_done(training, step + 1) > step
    figures = page.evaluate("id => Studio.call('run', {id})", resumed)["metrics"]
    before = page.evaluate("id => Studio.call('run', {id})", stopped)["metrics"]
    assert before["step"][-1] == step and figures["step"][0] == step + 1
    stop_shown(training)


def test_a_reload_and_a_crash_of_the_server_in_mid_run(training: Tab, gui: Gui) -> None:
    page = training.page
    before = steps_done(training, 2)
    run = page.evaluate("Studio.runs.chosen()")
    process = json.loads((gui.runs_dir / run / "process.json").read_text(encoding="utf-8"))

    training.open("runs")
    assert steps_done(training, before + 1) > before
    assert page.evaluate("Studio.runs.chosen()") == run
    expect(page.locator("[data-chart=loss] path")).to_have_count(2)
    training.shot("reloaded")

    gui.kill()
    bar = page.locator(".kg-rb")
    expect(bar).to_contain_text("The page lost the server.")
    expect(page).to_have_title(re.compile("^No server"))
    training.shot("server_lost")
    told = lambda: len((gui.runs_dir / run / "events.jsonl").read_text(encoding="utf-8").splitlines())  # noqa: E731
    seen = told()
    gui.start()
    expect(bar).to_contain_text("long")
    assert steps_done(training, before + 2) > before
    os.kill(process["pid"], 0)
    until(lambda: told() > seen, "The training stands still.")
    training.shot("server_found_again")
    stop_shown(training)


def test_a_tab_opened_after_a_crash_finds_the_run(training: Tab, browser: Browser, gui: Gui) -> None:
    before = steps_done(training, 1)
    gui.kill()
    gui.start()
    with new_tab(browser, gui) as other:
        other.open("runs")
        assert steps_done(other, before + 1) > before
        expect(other.page.locator(".kg-rb .nm")).to_have_text("long")
        stop_shown(other)


def test_a_running_training_draws_prompts_saves_and_is_killed(training: Tab, gui: Gui, pair: Path) -> None:
    page = training.page
    steps_done(training, 2)
    expect(
        page.get_by_role("img", name=re.compile(r"data \d+%, forward \d+%, backward \d+%, optimizer \d+%"))
    ).to_be_visible()
    expect(page.locator(".mem")).to_contain_text("MB memory of the process")
    page.click("[data-request=sample]")
    page.fill("#sp-text", "a lake --w 64 --h 64 --s 1")
    page.get_by_role("button", name="Draw these").click()
    sample = page.locator(".smp [data-cell]")
    expect(sample).to_have_count(1)
    sample.click()
    expect(page.locator("dialog h2")).to_contain_text("a lake, step ")
    assert page.locator("dialog img").evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
    page.keyboard.press("Escape")
    page.click("[data-request=save]")
    saved = page.locator("[data-part=saved] li")
    expect(saved).to_have_text(re.compile(r"long-step\d+\.safetensors\s+\d+ MB"))
    training.shot("watched")
    page.click(".kg-mon [data-more]")
    page.get_by_role("menuitem", name="Kill").click()
    page.click("[data-yes]")
    expect(page.locator(".kg-mon .top .st")).to_have_class(re.compile("stopped"))
    expect(page.locator(".kg-mon .why")).to_have_text("It was ended at once.")
