"""A run as a user watches it: times, samples, failures, silence, and its end when nobody looks. The runs are fake."""

import json
import os
import re
import time
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import Outcome, RunStore
from sd_scripts.library import events
from tests.page import Gui, Tab, new_tab, served, until

LONG = ("--steps", "100000", "--step_s", "0.05")
PROMPTS = ("a meadow at dawn", "a lake")
STEPS = (100, 200, 300)
RECORDER = """
    window.told = [];
    const Real = window.Notification;
    window.Notification = class extends Real {
        constructor(text, more) { super(text, more); window.told.push([text, more.tag]); this.onerror = () => {}; }
    };
    Document.prototype.hasFocus = () => !window.away;
"""


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with served(tmp_path_factory.mktemp("monitor"), pictures=1) as gui:
        yield gui


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        tab.make_project()
        yield tab
    gui.end_runs()


def show(tab: Tab, run_id: str) -> Page:
    """Chooses a run in the Runs tab and waits until it is the one that is shown."""
    tab.select("runs")
    tab.page.locator(f'[data-run="{run_id}"]').click()
    tab.page.wait_for_function("id => Studio.poller.watched()?.id === id && Studio.poller.watched().last", arg=run_id)
    return tab.page


def sampled(gui: Gui) -> str:
    """A training of the past: samples of two prompts at three steps, of which one is missing; a file that is gone."""
    told: list[events.Event] = []
    for i, step in enumerate(STEPS):
        told.append(events.Metric(step=step, epoch=i + 1, values={"loss": 1 / step, "lr": 1e-5}))
        for index, prompt in enumerate(PROMPTS):
            path = gui.work / f"s{step}-{index}.png"
            Image.new("RGB", (64, 48), (80 * i, 90, 200 * index)).save(path)
            if (index, step) != (1, 200):
                told.append(events.Sample(path=str(path), prompt=prompt, index=index, step=step, epoch=i + 1))
    for name, size in (("first.safetensors", 3_000_000), ("last.safetensors", 2_000_000)):
        told.append(events.Saved(path=str(gui.work / name), kind="model", size_bytes=size))
    (gui.work / "last.safetensors").write_bytes(b"x")
    outcome = Outcome(state="done", started=time.time() - 60, ended=time.time())
    return gui.past_training("sampled", told, outcome, {"learning_rate": 1e-6})


def queue_fake(gui: Gui, name: str, *args: str, **values: Any) -> str:
    """A fake training with settings of its own."""
    known = gui.queue_fake(name, *args)
    queue = Queue(RunStore(gui.runs_dir))
    with queue.changing():
        queue.store.change(known, values=values)
    return known


def test_a_running_training_shows_its_times_and_memory_and_the_bar_is_on_every_tab(tab: Tab, gui: Gui) -> None:
    run = gui.queue_fake("busy", *LONG)
    page = show(tab, run)
    split = page.get_by_role("img", name="data 10%, forward 30%, backward 50%, optimizer 10%")
    expect(split).to_be_visible()
    shares = split.locator("i").evaluate_all("all => all.map(one => one.getBoundingClientRect().width)")
    assert shares == pytest.approx([sum(shares) * share for share in (0.1, 0.3, 0.5, 0.1)], rel=0.02)
    expect(page.locator(".machine")).to_contain_text("50 ms per step")
    expect(page.locator(".mem")).to_contain_text("9.60 GB of 12 GB GPU memory at most")
    expect(page.locator(".mem")).to_contain_text("700 MB memory of the process")
    expect(page.locator(".ph.ahead")).to_have_text(re.compile("Saving\\s+waits"))
    expect(page.locator(".ph.now .d")).to_have_text(re.compile(r"[\d,]+ of 100,000"))
    expect(page.locator("[data-chart=norm] path")).to_have_count(1)
    bar = page.locator(".kg-rb")
    for name in ("project", "caption", "tag", "metadata", "latents", "train", "runs"):
        tab.select(name)
        expect(bar).to_contain_text(re.compile(r"busy.*/ 100,000.*loss 0\.\d{4}", re.DOTALL))
        expect(bar.get_by_role("button", name="Stop")).to_be_visible()
    page.wait_for_function("/^\\d+% busy/.test(document.title)")


def test_samples_are_enlarged_and_compared(tab: Tab, gui: Gui) -> None:
    page = show(tab, sampled(gui))
    grid = page.locator(".smp")
    expect(grid.locator(".h .muted")).to_have_text(["step 100", "step 200", "step 300"])
    expect(grid.locator(".r:not(.h) .p")).to_have_text(list(PROMPTS))
    expect(grid.locator("[data-cell]")).to_have_count(5)
    grid.locator("[data-cell='0,0']").click()
    title, picture = page.locator("dialog h2"), page.locator("dialog img")
    expect(title).to_have_text("a meadow at dawn, step 100")
    for key, says in (
        ("ArrowLeft", "a meadow at dawn, step 100"),
        ("ArrowRight", "a meadow at dawn, step 200"),
        ("ArrowRight", "a meadow at dawn, step 300"),
        ("ArrowDown", "a lake, step 300"),
        ("ArrowLeft", "a lake, step 100"),
    ):
        page.keyboard.press(key)
        expect(title).to_have_text(says)
        expect(picture).to_have_attribute("alt", says)
    assert picture.evaluate("one => one.decode().then(() => one.naturalWidth)") == 64
    tab.shot("sample_large")
    page.get_by_role("button", name="Later").click()
    expect(title).to_have_text("a lake, step 300")
    page.keyboard.press("Escape")
    expect(grid.locator("[data-cell='0,0']")).to_be_focused()

    page.locator("[data-samples=pick]").click()
    compare = page.locator("[data-samples=compare]")
    expect(compare).to_be_disabled()
    for place in ("0,2", "0,0"):
        grid.locator(f"[data-cell='{place}']").click()
    expect(grid.locator("[aria-pressed=true]")).to_have_count(2)
    tab.shot("samples_chosen")
    compare.click()
    expect(page.locator("dialog figcaption")).to_have_text([f"a meadow at dawn, step {step}" for step in (100, 300)])
    page.get_by_text("Slider", exact=True).click()
    slider = page.get_by_label("How much of the first one is shown")
    slider.fill("25")
    expect(page.locator(".over img").nth(1)).to_have_css("clip-path", "inset(0px 0px 0px 25%)")
    tab.shot("samples_slider")
    page.keyboard.press("Escape")
    grid.locator("[data-cell='1,2']").click()
    compare.click()
    expect(page.locator("dialog figure")).to_have_count(3)
    expect(page.get_by_text("Slider", exact=True)).to_have_count(0)


def test_saved_files_have_sizes_and_those_that_went_say_so(tab: Tab, gui: Gui) -> None:
    page = show(tab, sampled(gui))
    saved = page.locator("[data-part=saved]")
    expect(saved.locator("li")).to_have_text(
        [re.compile("last.*2.00 MB", re.DOTALL), re.compile("first.*removed", re.DOTALL)]
    )
    expect(saved.locator(".hd")).to_contain_text("1 file, 2.00 MB")


def test_a_failure_says_what_to_try_and_each_is_a_button(tab: Tab, gui: Gui) -> None:
    values = {
        "learning_rate": 4e-6,
        "train_batch_size": 4,
        "gradient_accumulation_steps": 1,
        "gradient_checkpointing": False,
    }
    run = queue_fake(gui, "hungry", "--then", "starve", **values)
    page = show(tab, run)
    failure = page.locator(".fail")
    expect(failure.locator("h2")).to_have_text("Memory ran out after 3 steps.")
    expect(page.locator(f'[data-row="{run}"] .st')).to_have_text("Out of memory")
    expect(failure.locator("pre")).to_contain_text("torch.OutOfMemoryError")
    expect(failure.locator("[data-remedy]")).to_have_text([re.compile("Save memory"), re.compile("Batch 1")])
    tab.shot("failed")
    failure.get_by_role("button", name="Full log").click()
    expect(page.locator("pre.log")).to_be_focused()
    failure.get_by_role("button", name="Batch 1").click()
    expect(page.locator("#f-train-train_batch_size")).to_have_value("1")
    expect(page.locator("#f-train-train_batch_size")).to_be_focused()
    page.wait_for_function("Studio.store.value('train', 'gradient_accumulation_steps') === '4'")
    expect(page.locator("#f-train-learning_rate")).to_have_value("4e-6")
    show(tab, run).get_by_role("button", name="Try again with changes").click()
    expect(page.locator("#f-train-train_batch_size")).to_have_value("4")
    tab.select("runs")
    page.locator(".kg-mon").get_by_role("button", name="Try again", exact=True).click()
    page.wait_for_function("id => Studio.runs.chosen() !== id", arg=run)
    expect(page.locator(".fail h2")).to_have_text("Memory ran out after 3 steps.")


def test_silence_is_said(tab: Tab, gui: Gui) -> None:
    run = gui.queue_fake("quiet", "--steps", "1", "--then", "hang")
    page = show(tab, run)
    expect(page.locator(".facts")).to_contain_text("of 1")
    # From then on it writes nothing more.
    until(lambda: "Waits." in RunStore(gui.runs_dir).log_path(run).read_text(), "It never falls silent.")
    store, old = RunStore(gui.runs_dir), time.time() - 130
    process = store.folder(run) / "process.json"
    for path in (store.events_path(run), store.log_path(run)):
        os.utime(path, (old, old))
    process.write_text(json.dumps(json.loads(process.read_text()) | {"started": old}))
    expect(page.locator(".stall")).to_contain_text("No news for 2 min; the process is alive.")
    expect(page.locator(".kg-rb .st")).to_have_class(re.compile("stalled"))
    tab.shot("stalled")


def test_a_comparison_follows_what_still_runs(tab: Tab, gui: Gui) -> None:
    past, running = sampled(gui), gui.queue_fake("growing", *LONG)
    page = show(tab, running)
    page.wait_for_function("Studio.poller.watched().metrics.step?.length > 2")
    page.evaluate("ids => Studio.runs.pick(ids[0])", [past])
    page.locator(f'[data-pick="{running}"]').check()
    page.locator("[data-list-do=compare]").click()
    steps = page.locator(".cmp .facts tr", has_text="Steps").locator("td").last
    expect(steps).to_have_text(re.compile(r"\d"))
    expect(steps).not_to_have_text(steps.inner_text())
    curve = page.locator("[data-compare=loss] path").last
    before = curve.get_attribute("d")
    expect(curve).not_to_have_attribute("d", before or "")
    page.locator(".pics [data-cell]").first.click()
    expect(page.locator("dialog h2")).to_contain_text("sampled, a meadow at dawn, step 300")


def test_the_end_of_a_run_is_told_by_the_system_when_nobody_looks(browser: Browser, gui: Gui) -> None:
    with new_tab(browser, gui) as tab:
        tab.page.context.grant_permissions(["notifications"], origin=gui.url)
        tab.page.add_init_script(RECORDER)
        tab.make_project()
        page = tab.page
        page.evaluate("Studio.notify.ask()")
        expect(page.locator(".kg-note").last).to_contain_text("The system tells you when a run ends")
        noticed = gui.work / "noticed"
        seen = gui.queue_fake("seen", "--until", str(noticed))
        page.wait_for_function("document.title.includes('seen')")
        noticed.touch()
        expect(page.locator(".kg-note", has_text="seen")).to_contain_text("Done")
        assert page.evaluate("told") == []
        page.evaluate("window.away = true")
        noticed.unlink()
        away = gui.queue_fake("away", "--until", str(noticed))
        page.wait_for_function("document.title.includes('away')")
        noticed.touch()
        page.wait_for_function("told.length > 0")
        assert page.evaluate("told") == [["away, Fine-tuning: Done", away]]
        assert page.title() == "Studio" and seen != away


def test_where_notifications_are_refused_that_is_said_in_words_once(tab: Tab, gui: Gui) -> None:
    page = tab.page
    page.evaluate("Object.defineProperty(window, 'isSecureContext', {value: false})")
    run = gui.queue_fake("busy", *LONG)
    page.evaluate("id => Studio.fire('started', id)", run)
    note = page.locator(".kg-note.mind", has_text="they need https")
    expect(note).to_be_visible()
    page.evaluate("id => Studio.fire('started', id)", run)
    expect(note).to_have_count(1)
    expect(show(tab, run).locator(".kg-mon .top .st")).to_have_class(re.compile("running"))
    page.locator(".kg-mon [data-more]").click()
    expect(page.get_by_role("menuitem", name="Notify me when it ends")).to_contain_text("they need https")


def test_a_phone_watches_stops_looks_at_samples_and_orders_the_queue(browser: Browser, gui: Gui) -> None:
    sampled(gui)
    busy, a, b = gui.queue_fake("busy", *LONG), gui.queue_fake("a"), gui.queue_fake("b")
    context = browser.new_context(
        viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True, locale="ja-JP"
    )
    tab = Tab(context.new_page(), gui)
    page = tab.page
    tab.open("runs")
    page.wait_for_function("Studio.poller.watched()?.last")
    tab.shot("phone")
    names = "[...document.querySelectorAll('[data-list=queue] .row[draggable]')].map(one => one.dataset.row).join()"
    page.wait_for_function(f"ids => {names} === ids.join()", arg=[a, b])
    page.locator(f'[data-row="{b}"] [data-place=up]').tap()
    page.wait_for_function(f"ids => {names} === ids.join()", arg=[b, a])
    page.locator(f'[data-row="{b}"] [data-place=down]').tap()
    page.wait_for_function(f"ids => {names} === ids.join()", arg=[a, b])
    page.locator("[data-list=queue]").scroll_into_view_if_needed()
    tab.shot("phone_queue")
    past = page.locator("[data-list=history] [data-run]").first
    past.tap()
    page.locator(".smp [data-cell]").last.tap()
    expect(page.locator("dialog img")).to_be_visible()
    page.get_by_role("button", name="前のステップ").tap()
    expect(page.locator("dialog h2")).to_contain_text("100")
    tab.shot("phone_sample")
    page.locator("dialog [data-close]").tap()
    tab.fits()
    page.locator(".kg-rb [data-stop]").tap()
    page.locator("dialog [data-yes]").tap()
    page.wait_for_function(
        "id => Studio.runs.lists().history.some(one => one.id === id && one.state === 'stopped')", arg=busy
    )
    context.close()
    gui.end_runs()
    assert tab.errors == []
