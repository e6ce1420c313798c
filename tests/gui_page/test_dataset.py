"""The Dataset tab in Chromium: many pictures with few cells, edits that are saved or taken back, changes seen before.

DATASET_PICTURES=10000 makes it a measurement: see `test_only_what_is_in_sight_is_in_the_document`.
"""

import os
import re
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect

from tests.page import Gui, Tab, new_tab, until

PICTURES = int(os.environ.get("DATASET_PICTURES", "240"))
ALL_DRAWN = """() => [...document.querySelectorAll('.ds-cell')].every(cell => {
    const image = cell.querySelector('img');
    return cell.dataset.id && (cell.querySelector('.broken') || image?.complete && image.naturalWidth);
})"""
SCROLL = """seconds => new Promise(resolve => {
    const port = document.querySelector('.ds-grid'), frames = [], start = performance.now();
    let last = start, most = 0;
    const step = now => {
        frames.push(now - last);
        last = now;
        port.scrollTop = (now - start) / seconds / 1000 * port.scrollHeight;
        most = Math.max(most, document.querySelectorAll('.ds-cell').length);
        if (now - start < seconds * 1000) return requestAnimationFrame(step);
        frames.sort((a, b) => a - b);
        resolve({ most, median_ms: frames[frames.length >> 1], p99_ms: frames[Math.floor(frames.length * .99)] });
    };
    requestAnimationFrame(step);
})"""


def write_meadow(folder: Path, count: int) -> None:
    """Pictures of three shapes; every fifth lacks a caption, every fourth has the tag "blue"."""
    folder.mkdir()
    encoded = []
    for i, size in enumerate([(96, 64), (64, 96), (64, 64)]):
        file = BytesIO()
        Image.new("RGB", size, (60 * i, 120, 200)).save(file, "JPEG")
        encoded.append(file.getvalue())
    for i in range(count):
        (folder / f"m{i:05}.jpg").write_bytes(encoded[i % 3])
        if i % 5:
            (folder / f"m{i:05}.caption").write_text(f"meadow number {i}\n")
        (folder / f"m{i:05}.txt").write_text(f"grass, sky{', blue' if i % 4 == 0 else ''}\n")


@pytest.fixture(scope="module")
def meadow(gui: Gui) -> Path:
    folder = gui.folder / "meadow"
    write_meadow(folder, PICTURES)
    (folder / "m00007.jpg").write_bytes(b"no picture")
    noise = BytesIO()
    Image.effect_noise((128, 128), 50).save(noise, "JPEG")
    (folder / "m00008.jpg").write_bytes(noise.getvalue()[:2000])
    return folder


@pytest.fixture(scope="module")
def shared(browser: Browser, gui: Gui, meadow: Path) -> Iterator[Tab]:
    with new_tab(browser, gui) as tab:
        tab.make_project("dataset", [meadow])
        tab.select("dataset")
        tab.page.wait_for_function("Studio.album.info() && !Studio.album.info().busy")
        yield tab


@pytest.fixture
def page(shared: Tab) -> Page:
    """The tab without filters, nothing chosen, in English."""
    page = shared.page
    page.evaluate("void Studio.pictureFilters.filters.clear()")
    turn_to(page, "edit")
    page.evaluate("document.querySelectorAll('.kg-note').forEach(note => note.remove())")
    page.wait_for_function(ALL_DRAWN)
    return page


def cell(page: Page, name: str):
    return page.locator(".ds-cell", has=page.locator(".file", has_text=f"{name}.jpg"))


def turn_to(page: Page, pane: str) -> None:
    page.click(f".ds-panes label:has([value={pane}])")
    expect(page.locator(f"[data-part={pane}]")).to_be_visible()


def choose(page: Page, name: str) -> Locator:
    """Chooses a picture; the box of its caption, once it is there."""
    cell(page, name).click()
    expect(page.locator("[data-part=edit] h2")).to_have_text(f"{name}.jpg")
    return page.locator("#ds-one-caption")


def save(page: Page) -> None:
    page.click("[data-part=saving] [data-do=save]")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("All saved")


def test_only_what_is_in_sight_is_in_the_document(page: Page, shared: Tab) -> None:
    expect(page.locator(".ds-count")).to_contain_text(f"Pictures: {PICTURES:,}")
    shared.shot("dataset")
    columns = int(page.get_attribute(".ds-grid", "aria-colcount") or 0)
    assert int(page.get_attribute(".ds-grid", "aria-rowcount") or 0) == -(-PICTURES // columns)
    measured = page.evaluate(SCROLL, 8 if PICTURES > 1000 else 0.5)
    print(measured)
    assert measured["most"] < 80
    page.evaluate("document.querySelector('.ds-grid').scrollTop = 1e9")
    expect(cell(page, f"m{PICTURES - 1:05}")).to_be_visible()
    page.wait_for_function(ALL_DRAWN)
    assert page.locator(".ds-cell").count() < 80
    assert page.evaluate("performance.getEntriesByType('resource').some(one => one.name.includes('/thumbnail?'))")


def test_broken_pictures_say_why(page: Page, shared: Tab) -> None:
    expect(cell(page, "m00007")).to_contain_text("it is not a picture")
    expect(cell(page, "m00008")).to_contain_text("truncated")
    page.select_option("#ds-show", "broken")
    expect(page.locator(".ds-count")).to_contain_text(f"2 of {PICTURES:,} pictures")
    cell(page, "m00008").click()
    expect(page.locator("[data-part=edit]")).to_contain_text("Left out: it is broken")


def test_an_edit_is_marked_saved_undone_and_restored(page: Page, shared: Tab, meadow: Path) -> None:
    box = choose(page, "m00001")
    expect(box).to_have_value("meadow number 1")
    box.fill("a wide meadow")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("Save 1")
    expect(cell(page, "m00001")).to_contain_text("a wide meadow")
    expect(cell(page, "m00001")).to_have_attribute("aria-label", re.compile("Not saved yet"))
    assert (meadow / "m00001.caption").read_text() == "meadow number 1\n"
    page.keyboard.press("Control+s")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("All saved")
    assert (meadow / "m00001.caption").read_text() == "a wide meadow\n"
    page.locator(".kg-note button", has_text="Backups").click()
    page.locator(".ds-backups [data-restore]").first.click()
    expect(box).to_have_value("meadow number 1")
    save(page)
    assert (meadow / "m00001.caption").read_text() == "meadow number 1\n"
    box.fill("typed by mistake")
    page.click("[data-part=saving] [data-do=undo]")
    expect(box).to_have_value("meadow number 1")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_be_disabled()


def test_what_others_wrote_meanwhile_is_shown_not_overwritten(page: Page, shared: Tab, meadow: Path) -> None:
    choose(page, "m00002").fill("mine")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("Save 1")
    (meadow / "m00002.caption").write_text("<b>theirs</b>")
    page.click("[data-part=saving] [data-do=save]")
    expect(page.locator(".theirs blockquote")).to_have_text("<b>theirs</b>")
    expect(page.locator("#studio-notes")).to_contain_text("not overwritten: 1")
    assert (meadow / "m00002.caption").read_text() == "<b>theirs</b>"
    shared.shot("dataset_conflict")
    page.click("[data-settle=theirs]")
    expect(page.locator("#ds-one-caption")).to_have_value("<b>theirs</b>")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("All saved")


def test_the_grid_is_walked_and_edited_with_the_keyboard(page: Page, shared: Tab, meadow: Path) -> None:
    first = cell(page, "m00000")
    first.click()
    page.keyboard.press("ArrowRight")
    expect(cell(page, "m00001")).to_be_focused()
    expect(cell(page, "m00001")).to_have_attribute("aria-selected", "true")
    expect(first).to_have_attribute("aria-selected", "false")
    page.keyboard.press("Shift+ArrowRight")
    expect(page.locator(".ds-count")).to_contain_text("2 chosen")
    page.keyboard.press("Control+ArrowRight")
    expect(cell(page, "m00003")).to_be_focused()
    page.keyboard.press(" ")
    expect(page.locator(".ds-count")).to_contain_text("3 chosen")
    page.keyboard.press("Control+a")
    expect(page.locator(".ds-count")).to_contain_text(f"{PICTURES:,} chosen")
    page.keyboard.press("Escape")
    expect(page.locator(".ds-count")).not_to_contain_text("chosen")
    page.keyboard.press("End")
    expect(cell(page, f"m{PICTURES - 1:05}")).to_be_focused()
    expect(page.locator("[data-part=edit] h2")).to_have_text(f"m{PICTURES - 1:05}.jpg")
    page.keyboard.press("Home")
    expect(page.locator("[data-part=edit] h2")).to_have_text("m00000.jpg")
    page.keyboard.press("ArrowRight")
    expect(page.locator("[data-part=edit] h2")).to_have_text("m00001.jpg")
    page.keyboard.press("Enter")
    expect(page.locator("#ds-one-caption")).to_be_focused()
    page.keyboard.press("Control+Enter")
    expect(page.locator("[data-part=edit] h2")).to_have_text("m00002.jpg")
    expect(page.locator("#ds-one-caption")).to_be_focused()
    page.keyboard.press("Escape")
    expect(cell(page, "m00002")).to_be_focused()


def test_pictures_are_chosen_with_the_mouse(page: Page, shared: Tab) -> None:
    cell(page, "m00001").click()
    cell(page, "m00004").click(modifiers=["Shift"])
    cell(page, "m00002").click(modifiers=["ControlOrMeta"])
    cell(page, "m00006").hover()
    cell(page, "m00006").locator("[data-tick]").click()
    chosen = page.locator('.ds-cell[aria-selected="true"] .file')
    expect(chosen).to_have_text(["m00001.jpg", "m00003.jpg", "m00004.jpg", "m00006.jpg"])
    expect(page.locator("[data-part=edit] h2")).to_have_text(f"4 of {PICTURES:,} chosen")


def test_filters_by_text_tag_bucket_size_and_what_is_missing(page: Page, shared: Tab) -> None:
    blue, count = -(-PICTURES // 4), page.locator(".ds-count")
    turn_to(page, "tags")
    page.locator(".ds-tags .tag", has_text="blue").click()
    expect(count).to_contain_text(f"{blue:,} of {PICTURES:,} pictures")
    expect(page.locator('.ds-tags .tag[aria-pressed="true"]')).to_contain_text("blue")
    page.select_option("#ds-show", "no_caption")
    expect(count).to_contain_text(f"{-(-PICTURES // 20):,} of")
    page.locator(".chip", has_text="with blue").click()
    expect(count).to_contain_text(f"{-(-PICTURES // 5):,} of")
    page.click("[data-do=clear]")
    expect(count).to_contain_text(f"Pictures: {PICTURES:,}")
    page.fill("#ds-text", "number 23")
    expect(count).to_contain_text(" of ")
    shown = page.locator(".ds-cell .caption")
    expect(shown.first).to_contain_text("meadow number 23")
    page.fill("#ds-text", "")
    page.fill("#ds-min_px", "500")
    expect(page.locator("[data-part=empty]")).to_contain_text("No picture fits the filter.")
    page.locator("[data-clear]").click()
    turn_to(page, "buckets")
    bars = page.locator(".ds-bars button")
    expect(bars).to_have_count(3)
    shared.shot("dataset_buckets")
    expect(bars.nth(0).locator(".num").nth(1)).to_have_text(re.compile(r"^\s*\d"))
    third = bars.nth(0).locator(".num").nth(1).inner_text()
    bars.nth(0).click()
    expect(count).to_contain_text(f"{third} of {PICTURES:,} pictures")
    expect(page.locator(".ds-notes")).to_contain_text("Will be enlarged")


def test_the_bucket_chart_follows_the_latents_form(page: Page, shared: Tab) -> None:
    turn_to(page, "buckets")
    expect(page.locator(".ds-bars button")).to_have_count(3)
    page.evaluate("Studio.store.set('latents', 'max_resolution', '500')")
    expect(page.locator("[data-part=buckets]")).to_contain_text("500,500 is no multiple of the bucket step 64")
    page.evaluate("Studio.store.set('latents', 'max_resolution', '64,64')")
    page.evaluate("Studio.store.set('latents', 'min_bucket_reso', '64')")
    expect(page.locator(".ds-bars button")).to_have_count(1)
    for flag in ("max_resolution", "min_bucket_reso"):
        page.evaluate("flag => Studio.store.reset('latents', flag)", flag)
    expect(page.locator(".ds-bars button")).to_have_count(3)


def test_a_change_of_many_is_seen_before_it_is_made_and_taken_back(page: Page, shared: Tab, meadow: Path) -> None:
    page.locator(".ds-cell").nth(0).click()
    page.locator(".ds-cell").nth(3).click(modifiers=["Shift"])
    page.click("[data-kind=replace]")
    page.fill("#ds-change-find", "sky")
    page.fill("#ds-change-text", "<i>clouds</i>")
    preview = page.locator(".ds-preview")
    expect(preview).to_contain_text("Files that change: 4.")
    expect(preview.locator("li").first.locator("del")).to_have_text("sky")
    expect(preview.locator("li").first.locator("ins")).to_have_text("<i>clouds</i>")
    shared.shot("dataset_change")
    page.locator("[data-apply]").first.click()
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("Save 4")
    expect(page.locator(".ds-cell .tags").first).to_have_text(re.compile("<i>clouds</i>"))
    page.locator(".kg-note button", has_text="Undo").click()
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("All saved")
    page.click("label:has([data-change=kind][value=add])")
    page.click("label:has([data-change=at][value=start])")
    page.fill("#ds-change-text", "sks")
    expect(preview.locator("li").first.locator("ins")).to_contain_text("sks")
    expect(preview).to_contain_text("Files that change: 4.")
    page.locator("[data-apply=save]").click()
    expect(page.locator("#studio-notes")).to_contain_text("Saved texts: 4.")
    assert (meadow / "m00003.txt").read_text() == "sks, grass, sky\n"
    assert (meadow / "m00004.txt").read_text() == "grass, sky, blue\n"
    page.click("label:has([data-change=kind][value=remove])")
    page.fill("#ds-change-find", "sks")
    page.locator("[data-apply=save]").click()
    expect(page.locator(".ds-cell .tags").first).to_have_text(re.compile(r"^\s*grass, sky, blue"))
    until(lambda: (meadow / "m00003.txt").read_text() == "grass, sky\n", "It is not saved.")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("All saved")


def test_texts_are_typed_in_place_in_the_list(page: Page, shared: Tab, meadow: Path) -> None:
    page.click("label:has([name=ds-view][value=list])")
    rows = page.locator(".ds-row")
    expect(rows.first.locator("textarea")).to_have_count(2)
    box = rows.nth(3).locator('textarea[data-slot="caption"]')
    box.fill("typed in the list")
    expect(rows.nth(3).locator(".ds-cell")).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Control+Enter")
    expect(rows.nth(4).locator('textarea[data-slot="caption"]')).to_be_focused()
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("Save 1")
    shared.shot("dataset_list")
    page.evaluate("document.querySelector('.ds-grid').scrollTop = 1e9")
    expect(cell(page, f"m{PICTURES - 1:05}")).to_be_visible()
    page.evaluate("document.querySelector('.ds-grid').scrollTop = 0")
    expect(box).to_have_value("typed in the list")
    save(page)
    assert (meadow / "m00003.caption").read_text() == "typed in the list\n"
    page.click("label:has([name=ds-view][value=grid])")


def test_leaving_with_unsaved_edits_is_warned_about(page: Page, shared: Tab) -> None:
    choose(page, "m00006")
    page.fill("#ds-one-tags", "unsaved")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("Save 1")
    shared.select("train")
    expect(page.locator("#studio-notes")).to_contain_text("Edited texts that are not saved yet: 1.")
    shared.select("dataset")
    with page.expect_event("dialog") as asked:
        page.evaluate("void setTimeout(() => (location.href = '/?elsewhere'), 0)")
    assert asked.value.type == "beforeunload"
    asked.value.dismiss()
    expect(page.locator("#ds-one-tags")).to_have_value("unsaved")
    page.click("[data-part=saving] [data-do=undo]")
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("All saved")


def test_another_window_shows_what_was_typed_here(page: Page, browser: Browser, gui: Gui) -> None:
    choose(page, "m00003")
    with new_tab(browser, gui) as other:
        other.make_project("dataset")
        # Before that tab was ever drawn.
        there, name = other.page, {"text": "m00003.jpg"}
        there.evaluate("query => Studio.fire('show dataset', { query })", name)
        expect(there.locator(".ds-cell")).to_have_count(1)
        choose(there, "m00003").focus()
        page.fill("#ds-one-caption", "typed in the first window")
        expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("Save 1")
        there.wait_for_function("!Studio.album.info().busy")
        there.evaluate("window.dispatchEvent(new Event('focus'))")
        expect(there.locator("#ds-one-caption")).to_have_value("typed in the first window")
        expect(there.locator("#ds-one-caption")).to_be_focused()
        page.click("[data-part=saving] [data-do=undo]")
        expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("All saved")


def test_what_is_typed_while_the_server_is_away_is_not_lost(page: Page, gui: Gui, meadow: Path) -> None:
    choose(page, "m00009")
    # A picture that comes before: in the album opened anew, every picture has another number.
    Image.new("RGB", (96, 64)).save(meadow / "a.jpg")
    gui.stop()
    page.fill("#ds-one-caption", "typed without a server")
    expect(page.locator(".kg-rb")).to_contain_text("The page lost the server")
    page.locator("#ds-one-tags").focus()
    expect(page.locator("#ds-one-caption")).to_have_value("typed without a server")
    gui.start()
    expect(page.locator("[data-part=saving] [data-do=save]")).to_have_text("Save 1")
    expect(page.locator("[data-part=edit] h2")).to_have_text("m00009.jpg")
    expect(page.locator("#ds-one-caption")).to_have_value("typed without a server")
    save(page)
    assert (meadow / "m00009.caption").read_text() == "typed without a server\n"
    (meadow / "a.jpg").unlink()
    page.click("[data-source=again]")
    expect(page.locator(".ds-count")).to_contain_text(f"Pictures: {PICTURES:,}")


def test_other_parts_of_the_page_show_pictures_here(page: Page, shared: Tab, meadow: Path) -> None:
    shared.select("train")
    page.evaluate(
        "paths => Studio.fire('show dataset', { paths, query: { show: 'no_caption' }, pane: 'tags' })", [str(meadow)]
    )
    expect(page.locator(".ds-count")).to_contain_text(f"{-(-PICTURES // 5):,} of {PICTURES:,} pictures")
    expect(page.locator("#ds-show")).to_have_value("no_caption")
    expect(page.locator(".ds-tags .tag").first).to_be_visible()


def test_another_folder_and_other_endings(page: Page, shared: Tab, gui: Gui) -> None:
    other = gui.folder / "other"
    write_meadow(other, 4)
    page.click("[data-source=folder]")
    expect(page.locator("dialog .found")).to_have_text(f"{PICTURES:,} images")
    page.fill("dialog [name=path]", str(other))
    page.keyboard.press("Enter")
    expect(page.locator("dialog .found")).to_have_text("4 images")
    page.click("dialog [data-choose]")
    expect(page.locator(".ds-count")).to_contain_text("Pictures: 4")
    page.click("[data-source=endings]")
    page.fill("#ds-caption_extension", ".png")
    page.locator("dialog .btn.pri").click()
    expect(page.locator("[data-part=progress]")).to_contain_text("“.png” is no ending of texts.")
    page.click("[data-source=endings]")
    page.fill("#ds-caption_extension", ".caption")
    page.locator("dialog .btn.pri").click()
    expect(page.locator(".ds-count")).to_contain_text("Pictures: 4")
    page.select_option("#ds-source", label="Project: " + "/".join((gui.folder / "meadow").parts[-2:]))
    expect(page.locator(".ds-count")).to_contain_text(f"Pictures: {PICTURES:,}")


@pytest.mark.parametrize("lang", ["en", "ja"])
def test_a_phone_shows_and_edits_it(page: Page, shared: Tab, lang: str) -> None:
    page.evaluate("lang => Studio.speak(lang)", lang)
    page.set_viewport_size({"width": 390, "height": 844})
    page.evaluate("document.body.classList.toggle('dark', Studio.page.lang === 'ja')")
    try:
        for name in ("edit", "change", "tags", "buckets"):
            turn_to(page, name)
            shared.fits()
        turn_to(page, "edit")
        expect(choose(page, "m00001")).to_be_visible()
        page.wait_for_function(ALL_DRAWN)
        shared.shot(f"dataset_390_{lang}")
        expect(page.locator("[name=ds-pane][value=change] + *, .ds-panes label").nth(1)).to_have_text(
            {"en": "Change", "ja": "一括変更"}[lang]
        )
    finally:
        page.set_viewport_size({"width": 1440, "height": 900})
        page.evaluate("document.body.classList.remove('dark'); Studio.speak('en')")
