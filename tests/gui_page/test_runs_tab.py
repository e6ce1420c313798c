"""The Runs tab as a user works with it: the queue, the history, comparisons, the log. The runs behind it are fake."""

import json
import math
import re
import time
from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, Page, expect

from kohya_gui.runs.queue import Queue
from kohya_gui.runs.store import Outcome, RunStore
from sd_scripts.library import events
from tests.page import Gui, Tab, new_tab, served, until

LONG = ("--steps", "100000", "--step_s", "0.05")


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    with served(tmp_path_factory.mktemp("runs_tab"), pictures=3) as gui:
        yield gui


@pytest.fixture
def tab(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        yield tab
    queue = Queue(RunStore(gui.runs_dir))
    queue.pause(False)
    gui.end_runs()


def past(gui: Gui, name: str, state: str = "done", rate: float = 1e-6, steps: int = 300) -> str:
    """A training of the past, with a loss that falls, two samples and a long log."""
    values = {"learning_rate": rate, "max_train_steps": steps, "output_name": name, "seed": 7}
    told: list[events.Event] = [
        events.Metric(step=step, epoch=1, values={"loss": rate * 1e5 + math.exp(-step / 100), "lr": rate})
        for step in range(1, steps + 1)
    ]
    for step in (100, steps):
        path = gui.work / f"{name}-{step}.png"
        Image.new("RGB", (64, 64), (step % 255, 80, int(rate * 1e7))).save(path)
        told.append(events.Sample(path=str(path), prompt="a meadow", index=0, step=step, epoch=1))
    lines = ["needle at the start", *(f"step {i} of {name}" for i in range(1, 15_001)), "the end"]
    sentence = "The loss is not a number." if state == "failed" else None
    outcome = Outcome(state=state, started=time.time() - 60, ended=time.time(), sentence=sentence)  # type: ignore[arg-type]
    return gui.past_training(name, told, outcome, values, "\n".join(lines) + "\n")


def order(gui: Gui) -> list[str]:
    """Names of what waits, as another process sees it."""
    store = RunStore(gui.runs_dir)
    return [store.record(i).name for i, status in store.unended().items() if status.state == "waiting"]


def row(page: Page, run_id: str):
    return page.locator(f'.kg-list .row[data-row="{run_id}"]')


def choose(page: Page, run_id: str, label: str) -> None:
    """Chooses from the menu of a run's row."""
    row(page, run_id).locator("[data-menu]").click()
    page.get_by_role("menuitem", name=label, exact=False).first.click()


def wait_order(page: Page, gui: Gui, names: list[str]) -> None:
    page.wait_for_function(
        """names => {
            const shown = [...document.querySelectorAll('[data-list=queue] .row[draggable] .t > span:first-child')];
            return shown.map(one => one.textContent.trim().split(/\\s/)[0]).join() === names.join();
        }""",
        arg=names,
    )
    until(lambda: order(gui) == names, f"The queue is {order(gui)}.")


def test_the_queue_is_ordered_by_menu_keyboard_and_pointer_and_survives_a_restart(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    gui.queue_fake("busy", *LONG)
    a, b = gui.queue_fake("a"), gui.queue_fake("b")
    one, two = gui.queue_chain(("one",), ("two",))
    tab.select("runs")
    wait_order(page, gui, ["a", "b", "one", "two"])
    expect(row(page, a)).to_contain_text("It waits for CPU, which busy (Fine-tuning) uses.")
    expect(row(page, two)).to_contain_text("It waits for one (Fine-tuning).")

    choose(page, two, "Run next")
    expect(page.locator(".kg-note").last).to_contain_text("two and its chain of 2 run next.")
    wait_order(page, gui, ["one", "two", "a", "b"])
    page.locator(f'[data-run="{b}"]').focus()
    page.keyboard.press("Alt+ArrowUp")
    wait_order(page, gui, ["one", "two", "b", "a"])
    expect(page.locator(f'[data-run="{b}"]')).to_be_focused()
    page.keyboard.press("Alt+ArrowDown")
    wait_order(page, gui, ["one", "two", "a", "b"])
    row(page, one).drag_to(row(page, b), target_position={"x": 60, "y": 50})
    wait_order(page, gui, ["a", "b", "one", "two"])
    row(page, b).drag_to(row(page, a), target_position={"x": 60, "y": 4})
    wait_order(page, gui, ["b", "a", "one", "two"])
    tab.shot("queue")

    gui.kill()
    gui.start()
    tab.open("runs")
    wait_order(page, gui, ["b", "a", "one", "two"])


def test_what_is_copied_taken_out_and_put_back(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    gui.queue_fake("busy", *LONG)
    a = gui.queue_fake("a")
    one, two, three = gui.queue_chain(("one",), ("two",), ("three",))
    tab.select("runs")
    choose(page, a, "Duplicate")
    expect(page.locator(".kg-note").last).to_contain_text("Both write the same files unless one is edited.")
    wait_order(page, gui, ["a", "a", "one", "two", "three"])
    choose(page, two, "Take from the queue")
    expect(page.locator("dialog")).to_contain_text("The run after two needs what it writes")
    page.click("[data-yes]")
    wait_order(page, gui, ["a", "a", "one"])
    page.get_by_role("button", name="Undo").last.click()
    wait_order(page, gui, ["a", "a", "one", "two", "three"])
    expect(row(page, two)).to_have_count(0)
    choose(page, a, "Take from the queue")
    wait_order(page, gui, ["a", "one", "two", "three"])
    page.get_by_role("button", name="Undo").last.click()
    wait_order(page, gui, ["a", "a", "one", "two", "three"])


def test_a_paused_queue_says_so_and_starts_nothing_until_it_goes_on(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    busy = gui.queue_fake("busy", *LONG)
    waiting = gui.queue_fake("patient")
    tab.select("runs")
    expect(row(page, busy).locator(".st")).to_have_class(re.compile("running"))
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("[data-list=paused]")).to_contain_text("what runs goes on, nothing new starts")
    expect(row(page, waiting)).to_contain_text("The queue is paused.")
    expect(page.locator(".kg-rb")).to_contain_text("1 waiting, queue paused")
    page.evaluate("id => Studio.call('run_request', {id, request: 'kill'})", busy)
    expect(row(page, busy).locator(".st")).to_have_class(re.compile("stopped"))
    expect(page.locator("[data-list=paused]")).to_have_text("The queue is paused: nothing starts.")
    tab.shot("queue_paused")
    gui.kill()
    gui.start()
    tab.open("runs")
    expect(row(page, waiting)).to_contain_text("The queue is paused.")
    until(lambda: order(gui) == ["patient"], f"The queue is {order(gui)}.")
    page.get_by_role("button", name="Resume").click()
    expect(row(page, waiting).locator(".st")).to_have_class(re.compile("done"))
    expect(page.locator("[data-list=paused]")).to_be_hidden()


def test_a_waiting_run_is_edited_in_its_form_and_keeps_its_place(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    page.evaluate("Studio.call('queue_pause', {paused: true})")
    tab.select("metadata")
    card = page.locator("section[aria-labelledby=step-merge_captions]")
    expect(card.locator("pre.cmd")).to_contain_text("merge_captions_to_metadata.py")
    card.locator("[data-do=start]").click()
    expect(page.locator(".kg-note").first).to_contain_text("in the queue, which is paused")
    last = gui.queue_fake("last")
    tab.select("runs")
    merges = "Studio.runs.lists().queue.find(one => one.stage === 'merge_captions')?.id"
    run = page.wait_for_function(merges).json_value()
    before = RunStore(gui.runs_dir).record(run)
    tab.fill("merge_captions", caption_extension=".mine")
    tab.select("runs")
    page.locator(f'[data-run="{run}"]').click()
    page.locator(".kg-mon [data-act=edit]").click()
    extension = page.locator("#f-merge_captions-caption_extension")
    expect(card.locator(".edited")).to_contain_text("which waits in the queue. Its place stays.")
    expect(extension).not_to_have_value(".mine")
    extension.fill(".txt")
    page.fill("#f-merge_captions-out_json", str(gui.work / "edited.json"))
    tab.open("metadata")
    expect(card.locator(".edited")).to_contain_text("You edit")
    expect(card.locator("[data-do=start]")).to_contain_text(re.compile("Save|Fix"))
    page.fill("#f-merge_captions-caption_extension", ".caption")
    expect(card.locator("pre.cmd")).to_contain_text("edited.json")
    tab.shot("edit")
    expect(card.locator("[data-do=start]")).to_have_text(re.compile("Save to the queue"))
    card.locator("[data-do=start]").click()
    expect(page.locator(".kg-note").last).to_contain_text("has its new settings")
    after = RunStore(gui.runs_dir).record(run)
    assert str(gui.work / "edited.json") in after.argv and after.argv != before.argv
    assert list(RunStore(gui.runs_dir).unended()) == [run, last]
    tab.select("metadata")
    expect(page.locator("#f-merge_captions-caption_extension")).to_have_value(".mine")
    expect(card.locator(".edited")).to_be_hidden()
    page.evaluate("Studio.call('queue_pause', {paused: false})")
    done = "id => Studio.runs.lists().history.some(one => one.id === id && one.state === 'done')"
    page.wait_for_function(done, arg=run)
    assert len(json.loads((gui.work / "edited.json").read_text(encoding="utf-8"))) == 3


def test_a_run_that_begins_while_it_is_edited_leaves_the_form_as_it_is(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    page.evaluate("Studio.call('queue_pause', {paused: true})")
    run = gui.queue_fake("early", *LONG)
    tab.select("runs")
    choose(page, run, "Edit")
    page.fill("#f-train-learning_rate", "7e-6")
    page.evaluate("Studio.call('queue_pause', {paused: false})")
    expect(page.locator(".kg-note.mind").last).to_contain_text("early does not wait any more")
    expect(page.locator("#f-train-learning_rate")).to_have_value("7e-6")
    expect(page.locator(".kg-rail:visible [data-do=queue]")).to_have_text("Queue")


def test_a_running_training_is_asked_for_samples_and_saves_and_is_ended(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    run = gui.queue_fake("asked", *LONG)
    tab.select("runs")
    page.locator(f'[data-run="{run}"]').click()
    page.locator(".kg-mon").get_by_role("button", name="Sample now").click()
    expect(page.locator("dialog")).to_contain_text("This training has no prompts.")
    page.fill("#sp-text", "a lake --w 64\na hill --zoom 3")
    page.get_by_role("button", name="Draw these").click()
    expect(page.locator("dialog [role=alert]")).to_contain_text("prompts.txt, line 2: there is no option --zoom.")
    tab.shot("prompts")
    page.get_by_role("button", name="Draw the pictures' texts").click()
    expect(page.locator(".kg-note").last).to_contain_text("The texts of the first pictures are drawn")
    page.locator(".kg-mon").get_by_role("button", name="Sample now").click()
    page.fill("#sp-text", "a lake --w 64")
    page.get_by_role("button", name="Draw these").click()
    expect(page.locator(".kg-note").last).to_contain_text("Samples come after the present step.")
    expect(page.locator("dialog")).to_have_count(0)
    page.wait_for_function("Studio.poller.watched().last.has_prompts")
    for name, said in (
        ("Sample now", "Samples come after the present step."),
        ("Save now", "It saves after the present step."),
        ("Stop after epoch", "It stops when this epoch ends."),
    ):
        # What was said before says nothing of this.
        page.evaluate("document.querySelectorAll('.kg-note').forEach(note => note.remove())")
        page.locator(".kg-mon").get_by_role("button", name=name).click()
        expect(page.locator(".kg-note").last).to_contain_text(said)
    page.locator(".kg-mon [data-more]").click()
    page.get_by_role("menuitem", name="Kill").click()
    page.click("[data-yes]")
    expect(page.locator(".kg-mon .top .st")).to_have_class(re.compile("stopped"))
    expect(page.locator(".kg-mon .why")).to_have_text("It was ended at once.")
    asked = (gui.runs_dir / run / "control.jsonl").read_text(encoding="utf-8").splitlines()
    requests = [json.loads(line)["request"] for line in asked]
    assert requests == ["sample", "sample", "sample", "save", "stop_after_epoch", "kill"]
    sent = RunStore(gui.runs_dir).prompts_path(run)
    assert [json.loads(line).get("prompts") for line in asked[:3]] == [None, str(sent), None]
    assert sent.read_text(encoding="utf-8") == "a lake --w 64"
    page.locator(".kg-mon").get_by_role("button", name="Try again").click()
    page.wait_for_function("id => Studio.runs.chosen() !== id", arg=run)
    expect(page.locator(".kg-mon .top .st")).to_have_class(re.compile("running"))


def test_history_is_filtered_named_noted_starred_deleted_and_restored(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    good, bad = past(gui, "good-one"), past(gui, "bad-one", "failed")
    model = gui.work / "good-one-300.png"
    tab.select("runs")
    expect(page.get_by_role("tab", name="Runs")).to_have_attribute("data-state", "err")
    page.locator(f'[data-run="{good}"]').click()
    expect(page.locator(".kg-mon .top h2")).to_have_text("good-one")
    page.locator(".kg-mon .star").click()
    expect(page.locator(".kg-mon .star")).to_have_attribute("aria-pressed", "true")
    choose(page, good, "Name and note")
    page.fill("#mk-name", "the winner")
    page.fill("#mk-note", "warm light")
    page.get_by_role("button", name="Keep").click()
    expect(row(page, good)).to_contain_text("the winner")
    expect(page.locator(".kg-mon .note")).to_have_text("warm light")

    page.get_by_role("button", name="Filter").click()
    page.keyboard.type("warm LIGHT")
    expect(row(page, bad)).to_have_count(0)
    expect(row(page, good)).to_be_visible()
    page.fill("[name=text]", "")
    page.locator("[name=state]").select_option("failed")
    expect(row(page, good)).to_have_count(0)
    expect(row(page, bad)).to_be_visible()
    page.locator("[name=state]").select_option("")
    page.locator("[name=starred]").check()
    expect(row(page, bad)).to_have_count(0)
    page.locator("[name=stage]").select_option("latents")
    expect(page.locator("[data-list=history]")).to_contain_text("No run is like this.")
    page.get_by_role("button", name="Show all").click()
    expect(row(page, bad)).to_be_visible()
    tab.shot("history")

    choose(page, good, "Delete")
    expect(row(page, good)).to_have_count(0)
    assert model.is_file()
    page.get_by_role("button", name="Undo").last.click()
    expect(row(page, good)).to_contain_text("the winner")
    choose(page, bad, "Delete")
    expect(row(page, bad)).to_have_count(0)
    tab.open("runs")
    page.get_by_role("button", name="More of the history").click()
    page.get_by_role("menuitem", name="Deleted runs").click()
    page.locator(f'[data-restore="{bad}"]').click()
    page.keyboard.press("Escape")
    expect(row(page, bad).locator(".st")).to_have_text("Failed")


def test_settings_of_the_past_come_back_and_a_run_is_run_again(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    run = past(gui, "before", rate=3e-6)
    page.evaluate("Studio.call('queue_pause', {paused: true})")
    tab.select("runs")
    choose(page, run, "Open settings")
    expect(page.locator("#f-train-learning_rate")).to_have_value("3e-6")
    expect(page.locator("#f-train-output_name")).to_have_value("before")
    page.get_by_role("button", name="Undo").last.click()
    expect(page.locator("#f-train-learning_rate")).not_to_have_value("3e-6")
    tab.select("runs")
    choose(page, run, "Run again")
    expect(page.locator("dialog")).to_contain_text("replaces the files that it wrote")
    page.click("[data-yes]")
    expect(page.locator(".kg-mon .top .st")).to_have_class(re.compile("waiting"))
    until(lambda: order(gui) == ["before"], f"The queue is {order(gui)}.")


def test_runs_are_compared_by_settings_loss_and_samples(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    first, second = past(gui, "slow", rate=1e-6, steps=200), past(gui, "fast", rate=4e-6, steps=300)
    tab.select("runs")
    choose(page, first, "Compare with")
    button = page.locator("[data-list-do=compare]")
    expect(button).to_be_disabled()
    row(page, second).locator("[data-pick]").focus()
    page.keyboard.press("Space")
    button.click()
    expect(page.get_by_role("heading", name="2 runs compared")).to_be_focused()
    differ = page.locator('.cmp tr[data-flag="learning_rate"]')
    expect(differ.locator("td")).to_have_text(["1e-6", "4e-6"])
    expect(page.locator('.cmp tr[data-flag="seed"]')).to_have_count(0)
    expect(page.locator("[data-compare=loss] svg.ch path")).to_have_count(2)
    page.locator("[data-compare=loss] svg.ch").hover(position={"x": 300, "y": 100})
    expect(page.locator("[data-compare=loss] [data-at='0']")).not_to_be_empty()
    expect(page.locator("[data-compare=loss] [data-at='1']")).not_to_be_empty()
    low, high = (float(page.locator(f"[data-compare=loss] [data-at='{i}']").inner_text()) for i in (0, 1))
    assert high - low == pytest.approx(0.3, abs=1e-3), "both are smoothed alike, whatever their length"
    expect(page.locator(".pics td img")).to_have_count(2)
    page.wait_for_function("[...document.querySelectorAll('.pics img')].every(one => one.naturalWidth === 64)")
    page.locator(".kg-cmp [name=step]").select_option("200")
    expect(page.locator(".pics td img")).to_have_count(1)
    page.locator(".kg-cmp [name=step]").select_option("100")
    expect(page.locator(".pics td img")).to_have_count(2)
    tab.shot("compare")
    page.locator(".pics [data-cell]").first.click()
    expect(page.locator("dialog img.large")).to_be_visible()
    page.keyboard.press("Escape")
    page.locator("[data-close-compare]").click()
    expect(page.locator(".kg-mon .top h2")).to_be_visible()


def test_the_log_is_searched_from_its_first_line_on(tab: Tab, gui: Gui) -> None:
    tab.make_project()
    page = tab.page
    run = past(gui, "talker")
    tab.select("runs")
    page.locator(f'[data-run="{run}"]').click()
    text = page.locator("pre.log")
    expect(text).to_contain_text("the end")
    expect(text).not_to_contain_text("needle")
    page.locator("[data-log=search]").click()
    page.keyboard.type("NEEDLE")
    expect(page.locator(".find [role=status]")).to_have_text("1 of 1 lines")
    expect(text.locator("mark")).to_have_text(["needle"])
    expect(text.locator(".now")).to_contain_text("needle at the start")
    page.locator(".find [name=text]").fill("step 1500")
    expect(page.locator(".find [role=status]")).to_have_text("2 of 2 lines")
    page.keyboard.press("Shift+Enter")
    expect(text.locator(".now")).to_have_text(re.compile("step 1500 of talker"))
    page.keyboard.press("Enter")
    expect(text.locator(".now")).to_have_text(re.compile("step 15000 of talker"))
    tab.shot("log_search")
    page.locator(".find [name=text]").fill("no such text")
    expect(page.locator(".find [role=status]")).to_have_text("Not found")
    page.keyboard.press("Escape")
    expect(page.locator("[data-log=search]")).to_be_focused()
    length = "document.querySelector('pre.log').textContent.length"
    shown = page.evaluate(length)
    page.locator("[data-log=earlier]").click()
    page.wait_for_function(f"shown => {length} > shown", arg=shown)
    expect(page.locator("[data-log=earlier]")).to_be_hidden()
    expect(text).to_have_text(re.compile(r"^needle at the start\nstep 1 of talker"))
    whole = (gui.runs_dir / run / "output.log").read_text(encoding="utf-8")
    page.wait_for_function("whole => document.querySelector('pre.log').textContent === whole", arg=whole)


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_everything_fits_a_phone_in_the_dark_and_is_named(tab: Tab, gui: Gui, lang: str) -> None:
    tab.make_project()
    page = tab.page
    gui.queue_fake("busy", *LONG)
    gui.queue_chain(("one",), ("two",))
    first, second = past(gui, "a"), past(gui, "b", rate=9e-6)
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("lang => Studio.speak(lang)", lang)
    page.click("[data-do=theme]")
    tab.select("runs")
    page.locator("[data-list-do=filter]").click()
    page.locator("[data-list-do=more]").click()
    page.locator(".kg-menu button").first.click()
    for run in (first, second):
        row(page, run).locator("[data-pick]").check()
    tab.fits()
    tab.shot(f"runs_390_{lang}")
    page.locator("[data-list-do=compare]").click()
    expect(page.locator(".pics td img")).to_have_count(2)
    tab.fits()
    tab.shot(f"compare_390_{lang}")
    nameless = page.evaluate(
        """() => {
            const named = one => one.ariaLabel || one.textContent.trim() || one.labels?.[0]?.textContent.trim();
            return [...document.querySelectorAll('[data-view=runs] :is(input, select, button, a)')]
                .filter(one => !one.closest('[hidden]') && !named(one)).map(one => one.outerHTML);
        }"""
    )
    assert nameless == []
