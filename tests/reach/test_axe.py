"""axe-core finds nothing to mend in any tab or dialog: empty or filled, either language, light or dark, wide or narrow.

The rules about structure do not depend on the theme: in the dark only contrast is looked at.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest
from axe_playwright_python.base import AXE_SCRIPT
from playwright.sync_api import Page, expect

from kohya_gui.app import TABS
from tests.page import Gui, Tab

WAYS = pytest.mark.parametrize(("lang", "width", "height"), [("en", 1440, 900), ("ja", 390, 844)])
CONTRAST = {"runOnly": ["color-contrast"]}
OPEN_ALL = "stage => Studio.data.forms[stage].sections.forEach(one => Studio.form.openSection(stage, one.name))"


@dataclass
class Looker:
    """Looks at one tab's views in both themes, and keeps every fault."""

    page: Page
    tab: Tab
    way: str
    faults: list[str] = field(default_factory=list)

    def look(self, view: str, within: str = "body") -> None:
        """Runs axe-core on what is shown."""
        for theme, options in (("light", {}), ("dark", CONTRAST)):
            self.page.evaluate("dark => document.body.classList.toggle('dark', dark)", theme == "dark")
            if os.environ.get("SCREENSHOTS"):
                self.tab.shot(f"{view}_{self.way}_{theme}".replace(" ", "_"))
            found: dict[str, Any] = self.page.evaluate(
                "([within, options]) => axe.run(within, {resultTypes: ['violations'], ...options})", [within, options]
            )
            self.faults += [f"{view}, {self.way}, {theme}: {fault}" for fault in _sentences(found)]

    def dialog(self, view: str, open_it: Callable[[], object], ready: str) -> None:
        """Opens a dialog or a menu, looks at it, and closes it with Escape."""
        open_it()
        self.page.wait_for_selector(ready)
        self.look(view, "dialog[open]:last-of-type" if self.page.locator("dialog[open]").count() else "body")
        self.page.keyboard.press("Escape")
        expect(self.page.locator(ready)).to_have_count(0)


def _sentences(found: dict[str, Any]) -> list[str]:
    return [
        f"{fault['id']} ({fault['impact']}) {node['target']} {node['html'][:160]} {node['failureSummary'][:300]}"
        for fault in found["violations"]
        for node in fault["nodes"][:4]
    ]


def looker(tab: Tab, lang: str, width: int, height: int) -> Looker:
    tab.page.set_viewport_size({"width": width, "height": height})
    # What moves or fades is seen at its end.
    tab.page.emulate_media(reduced_motion="reduce")
    tab.open()
    tab.page.evaluate("lang => Studio.speak(lang)", lang)
    tab.page.evaluate(AXE_SCRIPT)
    return Looker(tab.page, tab, f"{lang}_{width}")


@WAYS
def test_no_fault_where_nothing_is_filled_in(tab: Tab, lang: str, width: int, height: int) -> None:
    eye = looker(tab, lang, width, height)
    tab.page.evaluate("Studio.store.take(null)")
    for name in ("project", "train", "runs"):
        tab.select(name)
        eye.look(f"empty {name}")
    assert eye.faults == []
    # It does find what is wrong.
    tab.page.evaluate("document.querySelector('[data-do=theme]').removeAttribute('aria-label')")
    tab.page.evaluate("document.querySelector('.kg-head b').style.color = '#808080'")
    eye.look("spoilt")
    assert {fault.split(": ")[1].split(" ")[0] for fault in eye.faults} == {"button-name", "color-contrast"}


@WAYS
def test_no_fault_in_any_filled_tab(tab: Tab, runs: dict[str, str], lang: str, width: int, height: int) -> None:
    tab.make_project()
    eye = looker(tab, lang, width, height)
    page = eye.page
    # The training's tab is looked at with all of its sections open.
    for name in (name for name in TABS if name != "train"):
        tab.select(name)
        tab.settled()
        if name == "runs":
            page.click(f'[data-run="{runs["slow"]}"]')
            page.wait_for_selector(".smp img")
        eye.look(name)
    tab.select("train")
    page.evaluate(OPEN_ALL, "train")
    page.fill("#f-train-learning_rate", "abc")
    tab.settled()
    eye.look("train in full")
    page.evaluate("Studio.store.reset('train', 'learning_rate')")
    tab.select("runs")
    for name in ("busy", "broken", "patient"):
        page.click(f'[data-run="{runs[name]}"]')
        expect(page.locator(".kg-mon .top h2")).to_have_text(name)
        eye.look(f"run {name}", ".kg-mon")
    assert eye.faults == []


@WAYS
def test_no_fault_in_any_dialog(tab: Tab, gui: Gui, runs: dict[str, str], lang: str, width: int, height: int) -> None:
    tab.make_project()
    eye = looker(tab, lang, width, height)
    page = eye.page
    tab.select("train")
    eye.dialog("projects", lambda: page.click("[data-do=project]"), ".kg-menu")
    eye.dialog("path browser", lambda: page.click("#f-train-in_json ~ [data-browse]"), ".pb-list li")
    page.fill("#f-train-learning_rate", "3e-6")
    page.click("[data-do=preset]")
    page.wait_for_selector(".pre-item")
    page.locator(".pre-item").first.click()
    page.wait_for_selector(".diff")
    eye.look("presets and difference", "dialog")
    eye.dialog("import", lambda: page.click("[data-step=import]"), ".imp")
    eye.dialog("copy of a preset", lambda: page.click("[data-step=copy]"), ".ask")
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    page.keyboard.type("rate")
    eye.look("search")
    page.keyboard.press("Escape")
    page.locator("#f-train-optimizer_type ~ [data-names-open]").click()
    eye.look("names to choose from")
    page.keyboard.press("Escape")
    tab.select("runs")
    page.click(f'[data-run="{runs["slow"]}"]')
    eye.dialog("sample", lambda: page.click("[data-cell]"), "dialog img")
    eye.dialog("run menu", lambda: page.click(f'[data-menu="{runs["slow"]}"]'), ".kg-menu")
    eye.dialog("stop", lambda: page.click(".kg-rb [data-stop]"), "[data-yes]")
    page.evaluate("Studio.history.deleted()")
    eye.dialog("deleted", lambda: None, "dialog")
    page.click("[data-list-do=filter]")
    page.evaluate("Studio.runs.pick(null)")
    for name in ("slow", "fast"):
        page.check(f'[data-pick="{runs[name]}"]')
    eye.look("choosing")
    page.click("[data-list-do=compare]")
    page.wait_for_selector(".kg-cmp .cmp")
    eye.look("comparison")
    assert eye.faults == []


@WAYS
def test_no_fault_in_the_dataset_tab(tab: Tab, gui: Gui, lang: str, width: int, height: int) -> None:
    (gui.pictures / "broken.png").write_bytes(b"no picture")
    (gui.pictures / "p1.txt").write_bytes(b"\x81\xff\xfe")
    tab.make_project()
    eye = looker(tab, lang, width, height)
    page = eye.page
    tab.select("dataset")
    page.wait_for_selector(".ds-cell .broken")
    page.locator(".ds-cell").nth(2).click()
    page.wait_for_selector("#ds-one-tags[readonly]")
    eye.look("dataset with an unreadable text")
    page.locator(".ds-cell").nth(3).click()
    # The editor of the picture before stands there for a moment.
    page.fill("#ds-one-caption[data-of='p2.png']", f"mine, {eye.way}")
    page.evaluate("Studio.texts.flush()")
    expect(page.locator("[data-part=saving] [data-do=undo]")).to_be_enabled()
    (gui.pictures / "p2.caption").write_text(f"theirs, {eye.way}")
    page.keyboard.press("Control+s")
    page.wait_for_selector(".theirs")
    eye.look("dataset with a conflict")
    page.click("[data-settle=theirs]")
    page.locator(".ds-cell").nth(1).focus()
    page.keyboard.press("Control+a")
    page.click("[data-kind=replace]")
    page.locator("label:has([data-change=slot][value=caption])").click()
    page.fill("#ds-change-find", "plain")
    page.fill("#ds-change-text", "bright")
    page.wait_for_selector(".ds-preview del")
    eye.look("dataset change")
    for pane, ready in (("tags", ".ds-tags"), ("buckets", ".ds-bars button")):
        page.locator(f"label:has([name=ds-pane][value={pane}])").click()
        page.wait_for_selector(ready)
        eye.look(f"dataset {pane}")
    page.locator("label:has([name=ds-view][value=list])").click()
    page.wait_for_selector(".ds-row textarea")
    eye.look("dataset list")
    page.locator("label:has([name=ds-view][value=grid])").click()
    page.select_option("#ds-show", "unsaved")
    expect(page.locator("[data-part=empty] [data-clear]")).to_be_visible()
    eye.look("dataset without any that fits")
    page.click("[data-part=empty] [data-clear]")
    eye.dialog("dataset menu", lambda: page.click("[data-part=saving] [data-do=more]"), ".kg-menu")
    page.click("[data-part=saving] [data-do=more]")
    eye.dialog("backups", lambda: page.locator(".kg-menu button").first.click(), ".ds-backups")
    eye.dialog("endings", lambda: page.click("[data-source=endings]"), "#ds-tags_extension")
    assert eye.faults == []


@WAYS
def test_no_fault_in_findings_prompts_and_compared_samples(
    tab: Tab, runs: dict[str, str], lang: str, width: int, height: int
) -> None:
    tab.make_project()
    eye = looker(tab, lang, width, height)
    page = eye.page
    wrong = {"learning_rate": "0.5", "xformers": True, "sdpa": True, "sample_every_n_steps": "7"}
    for flag, value in wrong.items():
        page.evaluate("([flag, value]) => Studio.store.set('train', flag, value)", [flag, value])
    tab.select("train")
    page.wait_for_function("document.querySelectorAll('[data-view=train] .finds li').length > 3")
    eye.look("many findings")
    if width < 760:
        page.locator("[data-view=train] .finds").scroll_into_view_if_needed()
        eye.look("many findings below")
    for flag in wrong:
        page.evaluate("flag => Studio.store.reset('train', flag)", flag)
    tab.select("runs")
    page.click(f'[data-run="{runs["slow"]}"]')
    page.click("[data-samples=pick]")
    for cell in page.locator("[data-cell]").all():
        cell.click()
    eye.look("samples chosen")
    page.click("[data-samples=compare]")
    page.wait_for_selector("dialog .beside img")
    eye.look("samples beside each other", "dialog")
    page.locator("dialog label", has=page.locator("[value=over]")).click()
    page.wait_for_selector("dialog .over img")
    eye.look("samples over each other", "dialog")
    page.keyboard.press("Escape")
    page.evaluate("id => Studio.prompts.write(id, true)", runs["busy"])
    eye.dialog("prompts", lambda: None, "#sp-text")
    assert eye.faults == []
