"""What the proofs look at in the Runs tab."""

import re

from playwright.sync_api import Locator, expect

from tests.page import Tab

# What takes a whole run, or several.
RUN_MS = 480_000
ALL_IDS = "Object.values(Studio.runs.lists()).flat().map(row => row.id)"


def wait_for_rows(tab: Tab, name: str, count: int) -> list[str]:
    """Waits until as many runs of a name are in the list and all have ended; how each stands, newest first."""
    tab.select("runs")
    tab.page.wait_for_function(
        """([name, count]) => {
            const all = [...document.querySelectorAll('.kg-list .run')].filter(one => one.textContent.includes(name));
            const open = all.filter(one => one.querySelector('.st:is(.waiting, .running, .stalled)'));
            return all.length >= count && !open.length;
        }""",
        arg=[name, count],
        timeout=RUN_MS,
    )
    # All at once: the list may be drawn anew meanwhile.
    states = tab.page.locator(f'.kg-list .run:has-text("{name}") .st')
    return [str(classes).split()[-1] for classes in states.evaluate_all("all => all.map(one => one.className)")]


def show_run(tab: Tab, name: str, title: str) -> None:
    """Opens the newest run of a name and a kind."""
    tab.select("runs")
    tab.page.locator(".kg-list .run", has_text=name).filter(has_text=title).first.click()
    expect(tab.page.locator(".kg-mon .top .meta")).to_contain_text(title)


def start(tab: Tab, stage: str) -> str:
    """Presses Start on the tab of a stage, and once more where the page asks; then shows the run. Its id."""
    page = tab.page
    button = page.locator(f'[data-view="{stage}"] [data-do=start]')
    tab.settled()
    known, asked = page.evaluate(ALL_IDS), "anyway" in button.inner_text()
    button.click()
    fresh = f"{ALL_IDS}.find(id => !known.includes(id))"
    anyway = f"""document.querySelector('[data-view="{stage}"] [data-do=start]').textContent.includes('anyway')"""
    if not asked:
        page.wait_for_function(f"known => {fresh} || {anyway}", arg=known)
        if not page.evaluate(f"known => {fresh} ?? null", known):
            button.click()
    run_id: str = page.wait_for_function(f"known => {fresh}", arg=known).json_value()
    tab.select("runs")
    page.locator(f'.kg-list .run[data-run="{run_id}"]').click()
    return run_id


def steps_done(tab: Tab, at_least: int) -> int:
    """Waits until the training that is shown has done so many steps; how many it has done."""
    done = tab.page.wait_for_function(
        """least => {
            const counted = document.querySelector('.kg-mon .ph.now .d')?.textContent ?? '';
            const [, done] = counted.match(/([\\d,]+) of [\\d,]+/) ?? [];
            const steps = Number(done?.replace(/,/g, ''));
            return steps >= least ? steps : null;
        }""",
        arg=at_least,
        timeout=RUN_MS,
    )
    return int(done.json_value())


def stop_shown(tab: Tab) -> Locator:
    """Stops the run that is shown, and waits until it says so; gives its line in the list."""
    tab.page.click("[data-request=stop]")
    tab.page.click("[data-yes]")
    row = tab.page.locator('.kg-list .run[aria-current="true"]')
    expect(row.locator(".st")).to_have_class(re.compile("stopped"))
    return row
