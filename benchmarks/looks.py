"""What is measured in the browser, with the browser's own clock: from a click to the frame that shows its effect."""

from collections.abc import Iterator
from contextlib import contextmanager

from playwright.sync_api import Browser, Page

# Clicks in every frame, because a button may be there before anything listens to it.
FIRST_CLICK = """([click, shown]) => {
    const look = () => {
        if (document.querySelector(shown)?.offsetParent) window.firstClick_ms = performance.now();
        else {
            document.querySelector(click)?.click();
            requestAnimationFrame(look);
        }
    };
    requestAnimationFrame(look);
}"""

# From an act to the first frame in which something holds.
UNTIL = """([act, holds]) => new Promise(resolve => {
    const begin = performance.now(), holding = new Function(`return ${holds}`);
    const look = () => holding() ? resolve(performance.now() - begin) : requestAnimationFrame(look);
    new Function(act)();
    requestAnimationFrame(look);
})"""

OURS = ("#tab-train-button[role=tab]", '[data-view="train"] .in')
BARE = ("[role=tab][data-tab-id=second]", "#something")
SETTLE_MS = 1000
"""After the first click: what still loads then belongs to the first load."""


@contextmanager
def first_look(browser: Browser, url: str, click: str, shown: str) -> Iterator[tuple[Page, float, int]]:
    """A fresh browser's first visit: the page, seconds to a click that has an effect, bytes as they were sent."""
    context = browser.new_context(viewport={"width": 1440, "height": 900}, locale="en-US")
    page = context.new_page()
    sent_bytes: list[int] = []
    network = context.new_cdp_session(page)
    network.send("Network.enable")
    network.on("Network.loadingFinished", lambda event: sent_bytes.append(event["encodedDataLength"]))
    page.add_init_script(f"({FIRST_CLICK})({[click, shown]!r})")
    page.goto(url, wait_until="commit")
    page.wait_for_function("window.firstClick_ms")
    page.wait_for_timeout(SETTLE_MS)
    yield page, page.evaluate("window.firstClick_ms") / 1000, round(sum(sent_bytes))
    context.close()


def seconds(page: Page, act: str, holds: str) -> float:
    """Seconds from an act (a script) to the first frame in which a condition holds."""
    return float(page.evaluate(UNTIL, [act, holds])) / 1000


def click(selector: str) -> str:
    """The act of clicking."""
    return f"document.querySelector({selector!r}).click()"


def essentials(browser: Browser, url: str) -> float:
    """Seconds from the click on a tab to its essential fields; the slowest tab of those with a form."""
    slowest = 0.0
    with first_look(browser, url, "#tab-runs-button[role=tab]", ".kg-list") as (page, _, _):
        for tab in page.evaluate("Object.keys(Studio.data.tabs)"):
            shown = f"document.querySelector('[data-view=\"{tab}\"] .kg-grid .in')?.offsetParent"
            slowest = max(slowest, seconds(page, click(f"#tab-{tab}-button[role=tab]"), shown))
    return slowest


def full_form(browser: Browser, url: str) -> float:
    """Seconds from the click on Train to every section open, with every field drawn."""
    with first_look(browser, url, "#tab-runs-button[role=tab]", ".kg-list") as (page, _, _):
        fields = len(page.evaluate("Object.keys(Studio.store.fields('train'))"))
        every = f"document.querySelectorAll('[data-view=train] .f').length >= {fields}"
        opened = """
            const sections = Studio.data.forms.train.sections;
            const open = () => document.querySelector('[data-view=train] .kg-sec')
                ? sections.forEach(one => Studio.form.openSection('train', one.name)) : requestAnimationFrame(open);
            open();
        """
        return seconds(page, click(OURS[0]) + ";" + opened, every)


def bare_form(browser: Browser, url: str, fields: int) -> float:
    """Seconds from the click on the bare app's tab to as many fields."""
    with first_look(browser, url, "[role=tab][data-tab-id=first]", "#nothing") as (page, _, _):
        every = f"document.querySelectorAll('[role=tabpanel] :is(input, textarea)').length >= {fields}"
        return seconds(page, click(BARE[0]), f"{every} && document.querySelector('#something')?.offsetParent")


def applied_preset(browser: Browser, url: str) -> float:
    """Seconds from the click on Apply to the form, all of it open, that holds the preset's values."""
    with first_look(browser, url, *OURS) as (page, _, _):
        page.evaluate("Studio.data.forms.train.sections.forEach(one => Studio.form.openSection('train', one.name))")
        page.click("[data-do=preset]")
        page.locator(".pre-item").first.click()
        page.wait_for_selector("[data-step=apply]:enabled")
        # The last field that changes, by the order of the form.
        flag = page.locator(".diff [data-flag]:not([data-reset])").last.get_attribute("data-flag")
        before = page.evaluate("flag => String(Studio.store.value('train', flag))", flag)
        held = f"""
            !document.querySelector('dialog') && document.querySelector('#f-train-{flag}').value !== {before!r}
            && document.querySelector('#f-train-{flag}').value === String(Studio.store.value('train', {flag!r}))
        """
        return seconds(page, click("[data-step=apply]"), f"({held})")
