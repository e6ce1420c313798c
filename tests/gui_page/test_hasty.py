"""Hands that are faster than the page: double clicks, a name that is taken, questions while the server is away."""

from collections.abc import Iterator

import pytest
from PIL import Image
from playwright.sync_api import Browser, expect

from kohya_gui.runs.store import RunStore
from sd_scripts.library.systems import free_port
from tests.page import Gui, Tab, new_tab


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    gui = Gui(tmp_path_factory.mktemp("hasty"), free_port())
    for path in (gui.pictures, gui.work):
        path.mkdir()
    for i in range(2):
        Image.new("RGB", (96, 64), (40 * i, 90, 200)).save(gui.pictures / f"p{i}.png")
        (gui.pictures / f"p{i}.caption").write_text("a plain colour")
    gui.start()
    yield gui
    gui.end_runs()
    gui.stop()


@pytest.fixture(scope="module")
def on(browser: Browser, gui: Gui) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        tab.make_project()
        yield tab


def test_a_double_click_starts_one_run(on: Tab, gui: Gui) -> None:
    before = len(RunStore(gui.runs_dir).ids())
    on.select("metadata")
    start = on.page.locator('.kg-rail[data-stage="merge_captions"] [data-do=start]')
    expect(start).to_have_text("Start")
    start.dblclick()
    expect(on.page.locator("#studio-notes .kg-note")).to_have_count(1)
    assert len(RunStore(gui.runs_dir).ids()) == before + 1


def test_a_double_click_on_stop_leaves_its_question_open(on: Tab, gui: Gui) -> None:
    run_id = gui.queue_fake("hasty", "--steps", "100000", "--step_s", "0.05")
    on.page.evaluate("id => Studio.fire('show run', id)", run_id)
    on.page.locator(".kg-mon [data-request=stop]").dblclick()
    question = on.page.locator("dialog[open]")
    expect(question).to_be_visible()
    question.locator("[data-yes]").click()
    expect(on.page.locator(".kg-mon [data-part=top] .st")).to_have_text("Stopped")


def test_a_new_project_does_not_take_the_place_of_another(on: Tab, gui: Gui) -> None:
    on.select("project")
    on.page.evaluate("Studio.store.take(null)")
    other = gui.folder / "work" / "other"
    for field, value in (("name", "meadow"), ("pictures-0", gui.pictures), ("work_dir", other)):
        on.page.fill(f"#pr-{field}", str(value))
    on.page.locator("[data-do=create]").dblclick()
    expect(on.page.locator("#pr-name-e")).to_contain_text('There is a project "meadow" already.')
    on.page.fill("#pr-name", "hill")
    on.page.locator("[data-do=create]").dblclick()
    expect(on.page.locator("#pr-title")).to_have_text("hill")
    kept = on.page.evaluate("Studio.store.state.projects.map(one => [one.name, one.work_dir])")
    assert sorted(kept) == [["hill", str(other)], ["meadow", str(gui.work / "meadow")]]


def test_what_stands_against_the_pipeline_is_said_in_its_place_until_a_switch_is_moved(on: Tab, gui: Gui) -> None:
    for text in gui.pictures.glob("*.caption"):
        text.unlink()
    on.select("project")
    for name in ("caption", "tagger"):
        on.page.locator(f"[name=plan-{name}][value=none]").check(force=True)
    on.page.click("[data-do=pipeline]")
    found = on.page.locator("[data-plan]")
    expect(found).to_contain_text("There would be no text to train")
    on.page.locator("[name=plan-caption][value=blip]").check(force=True)
    expect(found).to_be_empty()


def test_what_was_asked_while_the_server_was_away_is_asked_again(on: Tab, gui: Gui) -> None:
    on.select("latents")
    images = on.page.locator("[data-view=latents] .figures", has_text="Images")
    expect(images).to_be_visible()
    gui.stop()
    on.select("train")
    expect(on.page.get_by_text("The page lost the server").first).to_be_visible()
    gui.start()
    expect(on.page.locator("[data-view=train] pre.cmd")).to_contain_text("fine_tune.py")
