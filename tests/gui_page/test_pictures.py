"""Options of changing pictures in Chromium: they show when they can apply, and say what they cost."""

import json

from playwright.sync_api import expect

from tests.page import Gui, Tab


def test_what_changes_pictures_goes_with_no_latents(tab: Tab, gui: Gui) -> None:
    entry = {"caption": "a picture", "train_resolution": [64, 64]}
    entries = {str(gui.pictures / f"p{i}.png"): entry for i in range(4)}
    (gui.work / "pictures.json").write_text(json.dumps(entries))
    tab.make_project()
    tab.select("train")
    page = tab.page
    page.locator("#sec-train-pictures > summary").click()
    color, mask = (page.locator(f'.f[data-flag="{flag}"]') for flag in ("color_aug", "alpha_mask"))
    expect(color).to_be_visible()
    tab.shot("pictures")
    tab.fill("train", in_json=str(gui.work / "pictures.json"), face_crop_aug_range="4,2")
    face = page.locator('.f[data-flag="face_crop_aug_range"]:visible')
    expect(face.locator(".err")).to_contain_text("Write the smaller one first: 2.0,4.0.")
    tab.fill("train", face_crop_aug_range="2,4")
    rail = page.locator(".kg-rail:visible .finds")
    expect(rail).to_contain_text("Prepared latents are not used with Crop around faces")
    tab.shot("pictures_faces")
    tab.fill("train", face_crop_aug_range="")
    page.locator("#sec-train-buckets > summary").click()
    page.locator('.f[data-flag="cache_latents"] input').check(force=True)
    expect(color).to_be_hidden()
    expect(mask).to_be_visible()
