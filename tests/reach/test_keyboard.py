"""A whole session without a pointer: every stop of the Tab key is visible, in order, and nowhere is a dead end."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.page import Gui, Tab

# What has the focus: its name, which part of the page it belongs to, whether one sees that it has the focus, and where.
STOP = """() => {
    const one = document.activeElement;
    if (!one || one === document.body) return null;
    const part = [
        ['header', '.kg-head'], ['tabs', '#kg-tabs [role=tablist]'], ['method', '.kg-bar'], ['sections', '.kg-nav'],
        ['fields', '.kg-form'], ['rail', '.kg-rail'], ['run bar', '#kg-runbar'], ['dialog', 'dialog'],
    ].find(([, within]) => one.closest(within))?.[0] ?? 'other';
    const marked = element => {
        const { outlineStyle, outlineWidth, boxShadow } = getComputedStyle(element);
        return (outlineStyle !== 'none' && parseFloat(outlineWidth) >= 2) || boxShadow !== 'none';
    };
    const seen = one.checkVisibility({ opacityProperty: true }) ? one : one.closest('label');
    const box = one.getBoundingClientRect();
    const top = document.elementFromPoint(box.x + box.width / 2, box.y + box.height / 2);
    return {
        name: one.ariaLabel || one.labels?.[0]?.textContent.trim() || one.textContent.trim().replace(/\\s+/g, ' '),
        part, marked: marked(seen), covered: !(top && (seen.contains(top) || top.contains(one))),
    };
}"""


def stops(page: Page, most: int = 120) -> list[dict[str, object]]:
    """Presses Tab until the focus leaves the page; every stop on the way."""
    found = []
    for _ in range(most):
        page.keyboard.press("Tab")
        stop = page.evaluate(STOP)
        if stop is None:
            return found
        found.append(stop)
    raise AssertionError(f"The focus never leaves: {found[-5:]}")


def press(page: Page, *keys: str) -> None:
    for key in keys:
        page.keyboard.press(key)


def press_until(page: Page, key: str, wanted: str, most: int = 60) -> None:
    """Presses a key until what has the focus matches a selector."""
    for _ in range(most):
        if page.evaluate("wanted => document.activeElement.matches(wanted)", wanted):
            return
        page.keyboard.press(key)
    raise AssertionError(f"{key} never leads to {wanted}")


def start_over(page: Page) -> None:
    """The next Tab begins at the top of the page, as after loading it."""
    page.evaluate("getSelection().removeAllRanges(); document.activeElement.blur(); window.scrollTo(0, 0)")
    page.evaluate("document.body.tabIndex = -1; document.body.focus(); document.body.removeAttribute('tabindex')")


def test_a_session_by_keys_alone(tab: Tab, gui: Gui) -> None:
    """Makes a project, finds and changes a value, chooses a folder, starts, watches, stops, and looks back.

    It comes before the tests whose runs would stand in the queue before its own.
    """
    tab.open()
    page = tab.page
    page.evaluate("Studio.store.take(null)")
    _make_project(page, gui)
    _find_change_and_reset(page)
    _choose_in_the_path_browser(page, gui)
    _sections_by_arrows(page)
    _presets(page)
    _start_and_look(page)
    run = gui.queue_fake("long", "--steps", "100000", "--step_s", "0.05")
    _watch_and_stop(page, run)
    _switch_language_and_theme(page)


def _make_project(page: Page, gui: Gui) -> None:
    start_over(page)
    for field, text in (("name", "keys"), ("pictures-0", gui.pictures), ("work_dir", gui.work / "keys")):
        press_until(page, "Tab", f"#pr-{field}")
        page.keyboard.type(str(text))
    press_until(page, "Tab", "[data-do=create]")
    page.keyboard.press("Enter")
    page.wait_for_function("Studio.store.state.project?.name === 'keys'")


def _find_change_and_reset(page: Page) -> None:
    page.keyboard.press("/")
    page.keyboard.type("learning rate")
    expect(page.locator("#kg-hits [aria-selected=true]")).to_contain_text("--learning_rate")
    page.keyboard.press("Enter")
    rate = page.locator("#f-train-learning_rate")
    expect(rate).to_be_focused()
    press(page, "Control+a", *"5e-6")
    expect(page.locator(".kg-rail:visible pre.cmd")).to_contain_text("--learning_rate")
    reset = page.locator('[data-flag="learning_rate"]:visible .reset')
    expect(reset).to_be_visible()
    page.keyboard.press("Shift+Tab")
    expect(reset).to_be_focused()
    page.keyboard.press("Enter")
    expect(rate).to_be_focused()
    expect(rate).to_have_value("2e-6")
    # In a field / is a sign; elsewhere it opens the search, and Escape comes back.
    page.keyboard.press("Tab")
    button = page.locator("[data-do=copy]:visible")
    press_until(page, "Tab", "[data-do=copy]")
    page.keyboard.press("/")
    expect(page.locator(".kg-search input")).to_be_focused()
    page.keyboard.press("Escape")
    expect(button).to_be_focused()


def _choose_in_the_path_browser(page: Page, gui: Gui) -> None:
    page.keyboard.press("/")
    page.keyboard.type("train_data_dir")
    page.keyboard.press("Enter")
    page.wait_for_function("document.activeElement.id.endsWith('-train_data_dir')")
    field = page.locator(":focus").get_attribute("id")
    page.keyboard.press("Tab")
    opener = page.locator(":focus")
    expect(opener).to_have_attribute("data-browse", "")
    page.keyboard.press("Enter")
    path = page.locator(".pb [name=path]")
    expect(path).to_be_focused()
    expect(path).to_have_value(str(gui.pictures))
    press(page, "Escape")
    expect(page.locator(f"#{field} ~ [data-browse]")).to_be_focused()
    page.keyboard.press("Enter")
    expect(path).to_have_value(str(gui.pictures))
    page.keyboard.press("Control+a")
    page.keyboard.type(str(gui.folder))
    page.keyboard.press("Enter")
    expect(page.locator(".pb-list button").first).to_be_visible()
    press_until(page, "Tab", ".pb-list button")
    press_until(page, "ArrowDown", f'[data-to="{gui.pictures}"]')
    page.keyboard.press("Enter")
    expect(path).to_have_value(str(gui.pictures))
    # Nothing is lost when a folder is opened: the keys go on from there, and stay within the dialog.
    page.wait_for_function("document.activeElement.closest('dialog')")
    press_until(page, "Tab", "[data-choose]")
    page.keyboard.press("Enter")
    expect(page.locator("dialog")).to_have_count(0)
    expect(page.locator(f"#{field} ~ [data-browse]")).to_be_focused()


def _sections_by_arrows(page: Page) -> None:
    press_until(page, "Shift+Tab", ".kg-nav a")
    press(page, "ArrowDown", "ArrowDown")
    page.keyboard.press("Enter")
    name = page.locator(":focus").get_attribute("data-section")
    expect(page.locator(f'details[data-section="{name}"]:visible')).to_have_attribute("open", "")
    expect(page.locator(":focus")).to_have_attribute("tabindex", "0")


def _presets(page: Page) -> None:
    press_until(page, "Shift+Tab", "[data-do=preset]", most=90)
    page.keyboard.press("Enter")
    page.wait_for_selector(".pre-item")
    press_until(page, "Tab", ".pre-item")
    page.keyboard.press("Enter")
    # A trap would be: Tab never leading to the last control of the dialog, or leaving it for the page behind.
    press_until(page, "Tab", ".pre-save button")
    press_until(page, "Shift+Tab", "[data-step=import]")
    page.keyboard.press("Enter")
    page.wait_for_selector(".imp")
    page.keyboard.press("Escape")
    expect(page.locator("[data-step=import]")).to_be_focused()
    page.keyboard.press("Escape")
    expect(page.locator("[data-do=preset]")).to_be_focused()


def _start_and_look(page: Page) -> None:
    press_until(page, "Tab", "#tab-metadata-button")
    page.keyboard.press("Enter")
    page.wait_for_selector("section[aria-labelledby=step-merge_captions]")
    press_until(page, "Tab", "section[aria-labelledby=step-merge_captions] [data-do=start]")
    page.keyboard.press("Enter")
    page.wait_for_function("Studio.runs.lists().history.some(row => row.stage === 'merge_captions')")
    press_until(page, "Shift+Tab", "[role=tab]", most=90)
    press_until(page, "Tab", "#tab-runs-button")
    page.keyboard.press("Enter")
    page.wait_for_selector(".kg-list .run")


def _watch_and_stop(page: Page, run: str) -> None:
    expect(page.locator(".kg-mon .top h2")).to_have_text("long")
    press_until(page, "Tab", f'.run[data-run="{run}"]')
    page.keyboard.press("ArrowDown")
    expect(page.locator(":focus")).not_to_have_attribute("data-run", run)
    page.keyboard.press("Enter")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    expect(page.locator(".kg-mon .top h2")).to_have_text("long")
    press_until(page, "Tab", "[data-request=stop]")
    page.keyboard.press("Enter")
    expect(page.locator("[data-yes]")).to_be_focused()
    # The monitor is drawn anew while the dialog is open, and its button still gets the focus back.
    before = page.locator(".kg-mon .facts").inner_text()
    page.wait_for_function("before => document.querySelector('.kg-mon .facts').innerText !== before", arg=before)
    page.keyboard.press("Escape")
    expect(page.locator("[data-request=stop]")).to_be_focused()
    press(page, "Enter", "Enter")
    expect(page.locator(f'.run[data-run="{run}"] .st')).to_have_class(re.compile("stopped"))


def _switch_language_and_theme(page: Page) -> None:
    start_over(page)
    press_until(page, "Tab", "[data-do=lang]")
    page.keyboard.press("Enter")
    expect(page.get_by_role("tab", name="学習")).to_be_visible()
    expect(page.locator("[data-do=lang]")).to_be_focused()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("body")).to_have_class(re.compile("dark"))
    expect(page.locator("[data-do=theme]")).to_be_focused()


@pytest.mark.parametrize("name", ["project", "train", "metadata", "runs"])
def test_every_stop_is_seen_and_they_are_in_order(tab: Tab, runs: dict[str, str], name: str) -> None:
    tab.make_project()
    tab.page.emulate_media(reduced_motion="reduce")
    tab.select(name)
    # What is still to be said would bring stops of its own.
    tab.settled()
    if name == "runs":
        expect(tab.page.locator(".kg-mon .top h2")).to_have_text("busy")
        expect(tab.page.locator("[data-chart=loss] path")).not_to_have_count(0)
    start_over(tab.page)
    found = stops(tab.page)
    assert [one for one in found if not one["marked"] or one["covered"] or not one["name"]] == []
    parts = [str(one["part"]) for one in found]
    order = list(dict.fromkeys(parts))
    assert order[:2] == ["header", "tabs"] and order[-1] == "run bar"
    if name == "train":
        assert order == ["header", "tabs", "method", "sections", "fields", "rail", "run bar"]
        assert parts.count("sections") == 1 and parts.count("method") == 2
    # Every part is gone through once: the focus does not jump to and fro.
    changes = sum(one != other for one, other in zip(parts, parts[1:], strict=False))
    assert changes == len(order) - 1 or name == "metadata", parts
    back = []
    for _ in found:
        tab.page.keyboard.press("Shift+Tab")
        back.append(tab.page.evaluate(STOP)["part"])
    assert back == parts[::-1]


def test_the_sample_and_its_menu_by_keys(tab: Tab, runs: dict[str, str]) -> None:
    tab.make_project()
    page = tab.page
    tab.select("runs")
    start_over(page)
    press_until(page, "Tab", ".run")
    press_until(page, "ArrowDown", f'[data-run="{runs["slow"]}"]')
    page.keyboard.press("Enter")
    expect(page.locator(".kg-mon .top h2")).to_have_text("slow")
    press_until(page, "Tab", "[data-cell]")
    page.keyboard.press("Enter")
    expect(page.locator("dialog img")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("[data-cell]").first).to_be_focused()
    press_until(page, "Shift+Tab", f'[data-menu="{runs["slow"]}"]')
    page.keyboard.press("Enter")
    expect(page.locator("[role=menuitem]").first).to_be_focused()
    press(page, "ArrowDown", "ArrowUp", "Escape")
    expect(page.locator(f'[data-menu="{runs["slow"]}"]')).to_be_focused()
