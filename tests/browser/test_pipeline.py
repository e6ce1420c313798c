"""The example project from the page: all stages, one click; and what is then to be seen of it."""

import json
import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect
from safetensors.numpy import load_file

from tests.browser.runs import RUN_MS, show_run, steps_done, wait_for_rows
from tests.page import Gui, Tab, new_tab

STAGES = ["train", "latents", "clean", "merge_tags", "merge_captions", "tag_wd14", "caption_blip"]
STEPS = 6


@pytest.fixture(scope="module")
def example(browser: Browser, gui: Gui) -> Iterator[Path]:
    """The example's folder, after its whole pipeline was run from the page with a few training steps."""
    with new_tab(browser, gui) as tab:
        page = tab.page
        tab.open()
        page.click("[data-do=example]")
        page.wait_for_function("Studio.store.state.project?.name === 'example'")
        assert wait_for_rows(tab, "example", 1) == ["done"]
        tab.fill("train", max_train_steps=STEPS, save_every_n_steps=3, sample_every_n_steps=3)
        tab.select("project")
        tab.shot("project")
        page.click("[data-do=pipeline]")
        page.wait_for_selector(".kg-runs")
        wait_for_rows(tab, "example", 1 + len(STAGES))
    yield gui.runs_dir / "example"


@pytest.fixture
def runs(tab: Tab, example: Path) -> Tab:
    """A fresh tab on the training of the example."""
    tab.open("runs")
    show_run(tab, "example", "Fine-tuning")
    return tab


def test_every_stage_is_done_and_every_tab_says_so(tab: Tab, example: Path) -> None:
    tab.open("project")
    ended = tab.page.evaluate("Studio.call('runs')")["history"]
    ours = [row for row in ended if row["name"] == "example"]
    assert [row["stage"] for row in ours] == [*STAGES, "example"]
    assert {row["state"] for row in ours} == {"done"}
    assert all(row["skipped"] == 0 for row in ours)
    tab.select("project")
    for name in ("caption", "tag", "metadata", "latents", "train"):
        expect(tab.page.locator(f'.plan li[data-tab="{name}"]')).to_have_attribute("data-state", "done")
    tab.shot("pipeline_done")


def test_the_checkpoint_opens(example: Path) -> None:
    output = example / "work" / "output"
    trained, base = load_file(output / "example.safetensors"), load_file(example / "models" / "sd1.safetensors")
    assert set(trained) == set(base)
    moved = [key for key in base if (trained[key] != base[key]).any()]
    assert moved and all(key.startswith("model.diffusion_model.") for key in moved)
    metadata = json.loads((example / "work" / "meta_lat.json").read_text(encoding="utf-8"))
    assert len(metadata) == len(list((example / "pictures").glob("*.npz"))) == 16
    assert all(entry["caption"] and entry["train_resolution"] for entry in metadata.values())


def test_the_samples_are_pictures(example: Path) -> None:
    samples = sorted((example / "work" / "output" / "sample").glob("example*.png"))
    assert len(samples) == 4
    for path in samples:
        with Image.open(path) as image:
            low, high = image.convert("L").getextrema()
            assert high - low > 32


def test_the_run_shows_loss_samples_and_saved_files(runs: Tab, example: Path) -> None:
    page = runs.page
    expect(page.locator("[data-part=samples] img")).to_have_count(4)
    for picture in page.locator("[data-part=samples] img").all():
        picture.scroll_into_view_if_needed()
        expect(picture).to_have_js_property("complete", True)
        sides_px = picture.evaluate("one => one.decode().then(() => [one.naturalWidth, one.naturalHeight])")
        assert sides_px in ([128, 128], [192, 128])
    drawn = page.locator("[data-chart=loss] path")
    expect(drawn).to_have_count(2)
    for line in drawn.all():
        expect(line).to_have_attribute("d", re.compile(f"^([^ML]*[ML]){{{STEPS}}}[^ML]*$"))
    expect(page.locator(".kg-mon .facts")).to_contain_text("loss, smoothed")
    saved = page.locator("[data-part=saved] li .path")
    expect(saved).to_have_count(3)
    written = (path.name for path in (example / "work" / "output").glob("*.safetensors"))
    assert sorted(saved.all_inner_texts()) == sorted(written)
    expect(page.locator("pre.log")).to_contain_text(f"{STEPS} steps")
    runs.shot("train_run")
    page.locator("[data-cell]").first.click()
    expect(page.locator("dialog img.large")).to_be_visible()
    width_px = page.locator("dialog img.large").evaluate("one => one.decode().then(() => one.naturalWidth)")
    assert width_px == 128
    runs.shot("sample_enlarged")


def test_the_buckets_are_listed_below_the_form(tab: Tab, example: Path) -> None:
    tab.open("latents")
    table = tab.page.locator("[data-view=latents] table.buckets")
    expect(table).to_be_visible()
    cells = "all => all.map(row => [...row.querySelectorAll('td')].map(one => one.innerText))"
    rows = table.locator("tbody tr").evaluate_all(cells)
    metadata = json.loads((example / "work" / "meta_lat.json").read_text(encoding="utf-8"))
    sizes = [" × ".join(map(str, entry["train_resolution"])) for entry in metadata.values()]
    assert {size: int(images) for size, images, *_ in rows} == {size: sizes.count(size) for size in sizes}
    table.scroll_into_view_if_needed()
    tab.shot("latents_buckets")


def test_tensorboard_opens_with_the_figures_and_is_stopped(runs: Tab) -> None:
    page = runs.page
    page.click("[data-do=board]")
    note = page.locator(".kg-note", has_text="TensorBoard runs")
    expect(note).to_be_visible()
    with page.context.expect_page() as opened:
        note.get_by_role("button", name="Open").click()
    board = opened.value
    expect(board).to_have_title("TensorBoard")
    assert board.url.startswith("http://127.0.0.1:")
    address = board.url.split("#")[0]
    # TensorBoard reads the logs a moment after it answers.
    tags = board.wait_for_function(
        """async address => {
            const runs = await (await fetch(address + 'data/plugin/scalars/tags')).json();
            return Object.keys(runs).length ? runs : null;
        }""",
        arg=address,
    ).json_value()
    (run, found), *others = tags.items()
    assert not others and "loss/current" in found and any("lr" in tag for tag in found), tags
    asked = f"{address}data/plugin/scalars/scalars?run={urllib.request.quote(run)}&tag=loss/current"
    with urllib.request.urlopen(asked, timeout=60) as answer:
        assert [step for _, step, _ in json.load(answer)] == list(range(1, STEPS + 1))
    board.close()
    page.click("[data-do=board]")
    page.get_by_role("menuitem", name="Stop TensorBoard").click()
    expect(page.locator("[data-do=board] .chip")).to_have_count(0)
    with pytest.raises(OSError, match="Not Found"):
        urllib.request.urlopen(address, timeout=60)


def test_the_page_speaks_japanese(runs: Tab) -> None:
    page = runs.page
    page.click("[data-do=lang]")
    expect(page.locator(".kg-rb")).to_contain_text("実行中の処理はありません")
    expect(page.locator(".kg-list h2").first).to_have_text("待ち列")
    expect(page.locator(".kg-list .run .st").first).to_have_text("完了")
    expect(page.locator(".kg-mon .top .st")).to_have_text("完了")
    expect(page.locator(".kg-mon .ph .t").first).to_contain_text("モデル")
    runs.shot("train_run_ja")
    runs.select("train")
    expect(page.get_by_role("tab", name="学習")).to_be_visible()
    expect(page.locator('.f[data-flag="learning_rate"]:visible label')).to_have_text("学習率")
    expect(page.locator("[data-view=train] pre.cmd")).to_contain_text("fine_tune.py")
    runs.shot("train_ja")


def test_the_dark_page_is_dark(runs: Tab) -> None:
    page = runs.page
    # How bright an element is, of 255; colours may change by and by.
    bright = """(at) => getComputedStyle(document.querySelector(at)).backgroundColor.match(/\\d+/g)
        .slice(0, 3).reduce((sum, part) => sum + Number(part), 0) / 3"""
    page.wait_for_function(f"({bright})('[data-part=log]') > 200")
    page.click("[data-do=theme]")
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    for at in ("[data-part=log]", "body"):
        page.wait_for_function(f"at => ({bright})(at) < 60", arg=at)
    runs.shot("train_run_dark")
    runs.open("train")
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    runs.shot("train_dark")


def test_a_training_is_stopped_with_a_thumb(tab: Tab, gui: Gui, example: Path) -> None:
    page = tab.page
    page.set_viewport_size({"width": 390, "height": 844})
    tab.open("train")
    tab.fill("train", max_train_steps=5000, output_name="small")
    tab.fill("train", save_every_n_steps="", sample_every_n_steps="", sample_prompts="")
    page.locator("[data-view=train] [data-do=start]").click()
    stop = page.locator(".kg-rb [data-stop]")
    expect(stop).to_be_in_viewport(ratio=1)
    place = stop.bounding_box()
    assert place and place["x"] >= 0 and place["x"] + place["width"] <= 390 and place["y"] + place["height"] <= 844
    assert place["height"] >= 40
    page.wait_for_function("document.title.includes('%')", timeout=RUN_MS)
    tab.shot("phone_train")
    tab.select("runs")
    # Before its first step there is nothing that it would keep.
    assert steps_done(tab, 1) >= 1
    expect(page.locator(".kg-mon .ph.now .d")).to_contain_text("of 5,000")
    tab.shot("phone_runs")
    tab.fits()
    stop.click()
    page.click("[data-yes]")
    expect(page.locator(".kg-rb")).to_contain_text("Nothing is running")
    assert list((example / "work" / "output").glob("small*-state"))
