"""Options of captions in Chromium: they show when they can apply, and captions as they will be trained."""

import json

from playwright.sync_api import expect

from tests.page import Gui, Tab


def test_parts_can_be_kept_once_captions_are_taken_apart(tab: Tab) -> None:
    tab.make_project()
    tab.select("train")
    page = tab.page
    page.locator("#sec-train-captions > summary").click()
    kept, rate = page.locator('.f[data-flag="keep_tokens_separator"]'), "#f-train-caption_tag_dropout_rate"
    expect(page.locator(rate)).to_be_visible()
    expect(kept).to_be_hidden()
    page.fill(rate, "0.0")
    expect(kept).to_be_hidden()
    page.fill(rate, "0.2")
    expect(kept).to_be_visible()
    page.fill(rate, "1.2")
    expect(page.locator('.f[data-flag="caption_tag_dropout_rate"]:visible .err')).to_have_text("Must be 1 or less.")


def test_captions_are_shown_as_they_will_be_trained(tab: Tab, gui: Gui) -> None:
    entries = {str(gui.pictures / f"p{i}.png"): {"caption": f"picture {i}\nmore", "tags": "sky"} for i in range(4)}
    (gui.work / "captions.json").write_text(json.dumps(entries))
    tab.make_project()
    tab.select("train")
    tab.fill("train", in_json=str(gui.work / "captions.json"), caption_prefix="sks,", caption_tag_dropout_rate="0")
    rail = tab.page.locator(".kg-rail:visible .finds")
    expect(rail).to_contain_text('As trained: "sks, picture 0, sky" · "sks, picture 1, sky" · "sks, picture 2, sky"')
    tab.fill("train", caption_dropout_rate="1")
    expect(rail).to_contain_text('As trained: "" · "" · ""')
