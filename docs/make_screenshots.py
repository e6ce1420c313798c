"""Makes docs/pictures: the example project is made, run and looked at in a real browser, which takes some minutes.

Needs Chromium, as the tests do. Nothing is drawn by hand; only the machine's paths are shown as those of one named ann.
"""

import io
import sys
import tempfile
from pathlib import Path

from PIL import Image

REPOSITORY = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(REPOSITORY))

from playwright.sync_api import Browser, Page, ViewportSize  # noqa: E402

from sd_scripts.library.systems import free_port  # noqa: E402
from tests.page import Gui, Tab, chromium  # noqa: E402

PICTURES = REPOSITORY / "docs" / "pictures"
WIDE: ViewportSize = {"width": 1440, "height": 900}
PHONE: ViewportSize = {"width": 390, "height": 844}
SCALE = 1.5
QUALITY = 80
RUN_MS = 600_000
CHECKED_MS = 2_000
STEPS = 30
LONGER_STEPS = 60

# Writes other paths over this machine's, in texts and in fields; says whether any stood there.
RENAME = """names => {
    let found = false;
    const rename = text => {
        const fresh = names.reduce((now, [from, to]) => now.replaceAll(from, to), text);
        found ||= fresh !== text;
        return fresh;
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    while (texts.nextNode()) {
        const fresh = rename(texts.currentNode.data);
        if (fresh !== texts.currentNode.data) texts.currentNode.data = fresh;
    }
    for (const box of document.querySelectorAll('input, textarea')) {
        const fresh = rename(box.value);
        if (fresh === box.value) continue;
        box.value = fresh;
        box.scrollLeft = box.scrollWidth;
    }
    return found;
}"""
SETTLED = """() => document.fonts.ready.then(() => {
    const images = [...document.images].filter(one => one.checkVisibility());
    const commands = [...document.querySelectorAll('.kg-rail pre.cmd')].filter(one => one.checkVisibility());
    return images.every(one => one.complete && one.naturalWidth) && commands.every(one => one.textContent);
})"""


class Photographer:
    """Takes pictures of what a tab shows."""

    def __init__(self, tab: Tab) -> None:
        self.tab = tab
        self.page: Page = tab.page
        self.taken: list[Path] = []
        self._names = [
            [sys.executable, "/home/ann/sd-trainer/.venv/bin/python"],
            [str(REPOSITORY), "/home/ann/sd-trainer"],
            [str(tab.gui.runs_dir / "example"), "/home/ann/meadow"],
            [str(tab.gui.folder), "/home/ann"],
        ]

    def take(self, name: str, dark: bool = False) -> None:
        """Keeps a picture as a small file, once everything in it is there."""
        page = self.page
        page.evaluate("dark => document.body.classList.toggle('dark', dark)", dark)
        page.evaluate("document.getElementById('studio-notes')?.replaceChildren()")
        page.mouse.move(WIDE["width"] - 1, 0)
        page.wait_for_function(SETTLED)
        page.evaluate(RENAME, self._names)
        shot = page.screenshot()
        # What was drawn anew meanwhile shows the paths again: then once more.
        while page.evaluate(RENAME, self._names):
            shot = page.screenshot()
        path = PICTURES / f"{name}.webp"
        with Image.open(io.BytesIO(shot)) as picture:
            picture.save(path, quality=QUALITY, method=6)
        self.taken.append(path)

    def open(self, tab: str) -> None:
        """Opens a tab at its top, with nothing focused."""
        self.tab.select(tab)
        self.page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")

    def press(self, selector: str) -> None:
        """Clicks on what is visible of a selector."""
        self.page.locator(selector).locator("visible=true").first.click()


def main() -> int:
    """Makes every picture, and says how large they are."""
    PICTURES.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        gui = Gui(Path(folder), free_port())
        gui.start()
        try:
            taken = _session(browser, gui)
        finally:
            gui.end_runs()
            gui.stop()
    for path in taken:
        print(f"{path.stat().st_size // 1000:5} kB  {path.relative_to(REPOSITORY)}")
    print(f"{sum(path.stat().st_size for path in taken) // 1000:5} kB  in {len(taken)} pictures")
    return 0


def _session(browser: Browser, gui: Gui) -> list[Path]:
    context = browser.new_context(viewport=WIDE, device_scale_factor=SCALE, locale="en-US", reduced_motion="reduce")
    tab = Tab(context.new_page(), gui)
    camera = Photographer(tab)
    _run_the_example(camera)
    _two_more_trainings(camera)
    # The forms while the runs go on: the bar below tells of them.
    for picture in (_latents, _train, _presets, _japanese, _dataset, _while_it_trains, _project, _runs, _phone):
        picture(camera)
    context.close()
    if tab.errors or tab.foreign:
        raise SystemExit(f"Error: the page failed while it was photographed: {tab.errors + tab.foreign}")
    return camera.taken


def _run_the_example(camera: Photographer) -> None:
    """Makes the example project and starts its pipeline, as the buttons of the page do; waits for its training."""
    page = camera.page
    camera.tab.open()
    camera.press("[data-do=example]")
    page.wait_for_function("Studio.store.state.project?.name === 'example'")
    _wait_for_runs(page, 1)
    camera.tab.fill("train", max_train_steps=STEPS, save_every_n_steps=STEPS // 3, sample_every_n_steps=STEPS // 3)
    camera.open("project")
    camera.press("[data-do=pipeline]")
    _wait_for_runs(page, 7)


def _two_more_trainings(camera: Photographer) -> None:
    """Queues one to compare with, and a longer one to watch."""
    _start_training(camera, output_name="faster", learning_rate="4e-4")
    longer = {"max_train_steps": LONGER_STEPS, "sample_every_n_steps": LONGER_STEPS // 4}
    _start_training(camera, output_name="longer", learning_rate="1e-4", **longer)


def _start_training(camera: Photographer, **values: object) -> None:
    page = camera.page
    known = "Studio.runs.lists().queue.length + Studio.runs.lists().history.length"
    before = page.evaluate(known)
    camera.tab.fill("train", **values)
    # What is warned of is asked once.
    for _ in range(3):
        page.wait_for_timeout(CHECKED_MS)
        page.locator("[data-view=train] [data-do=start]").click()
        page.wait_for_timeout(CHECKED_MS)
        if page.evaluate(known) > before:
            return
    raise SystemExit(f"Error: the training {values['output_name']} does not start.")


def _wait_for_runs(page: Page, ended: int) -> None:
    """Waits until so many runs have ended, all of them well."""
    page.wait_for_function("ended => Studio.runs.lists().history.length >= ended", arg=ended, timeout=RUN_MS)
    states = page.evaluate("Studio.runs.lists().history.map(row => row.state)")
    if set(states) != {"done"}:
        raise SystemExit(f"Error: a run of the example ended otherwise than well: {states}")


def _choose_run(camera: Photographer, name: str, title: str = "Fine-tuning") -> None:
    camera.open("runs")
    row = camera.page.locator(".kg-list .run").filter(has_text=name).filter(has_text=title).first
    row.click()
    camera.page.wait_for_function("name => document.querySelector('.kg-mon .top h2')?.textContent === name", arg=name)
    camera.page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")


def _while_it_trains(camera: Photographer) -> None:
    _wait_for_runs(camera.page, 9)
    _choose_run(camera, "longer")
    camera.page.wait_for_selector(".smp img", timeout=RUN_MS)
    camera.take("training-dark", dark=True)


def _project(camera: Photographer) -> None:
    camera.open("project")
    camera.page.wait_for_selector(".plan [data-tab=latents][data-state=done]")
    camera.take("project")


def _dataset(camera: Photographer) -> None:
    """The pictures with their texts, and one of them in the editor."""
    camera.open("dataset")
    camera.page.locator(".ds-cell").nth(1).click()
    camera.page.wait_for_selector("#ds-one-caption")
    camera.take("pictures")


def _latents(camera: Photographer) -> None:
    camera.open("latents")
    camera.page.wait_for_timeout(800)
    camera.take("latents-dark", dark=True)


def _train(camera: Photographer) -> None:
    page = camera.page
    camera.open("train")
    camera.take("train")
    page.keyboard.press("/")
    page.keyboard.type("noise")
    camera.take("search")
    page.keyboard.press("Escape")
    camera.press('.kg-nav [data-section="captions"]')
    camera.take("captions-dark", dark=True)


def _presets(camera: Photographer) -> None:
    page = camera.page
    camera.open("train")
    camera.press("[data-do=preset]")
    page.locator(".pre-item", has_text="SD1.5, 12 GB").first.click()
    page.wait_for_selector(".diff")
    page.evaluate("document.activeElement.blur()")
    camera.take("presets")
    page.keyboard.press("Escape")


def _runs(camera: Photographer) -> None:
    page = camera.page
    _wait_for_runs(page, 10)
    _choose_run(camera, "example")
    camera.take("run")
    page.evaluate("Studio.runs.pick(null)")
    for name in ("faster", "longer"):
        page.locator(".kg-list .row", has_text=name).locator("[data-pick]").check()
    camera.press("[data-list-do=compare]")
    page.wait_for_selector(".kg-cmp .cmp")
    page.evaluate("document.activeElement.blur(); window.scrollTo(0, 0)")
    camera.take("compare")
    camera.press("[data-close-compare]")


def _japanese(camera: Photographer) -> None:
    camera.page.evaluate("Studio.speak('ja')")
    camera.open("train")
    camera.page.wait_for_timeout(800)
    camera.take("train-ja")
    camera.page.evaluate("Studio.speak('en')")


def _phone(camera: Photographer) -> None:
    camera.page.set_viewport_size(PHONE)
    _choose_run(camera, "longer")
    camera.take("phone-dark", dark=True)


if __name__ == "__main__":
    sys.exit(main())
