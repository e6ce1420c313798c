"""Trying a model in the page: what was saved lately is chosen with a click, and the pictures come into the tab."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from playwright.sync_api import expect

from kohya_gui.runs.store import Outcome
from sd_scripts.library import events
from sd_scripts.library.example.sd_models import make_sd1
from tests.generate.conftest import write_lora
from tests.page import Gui, Tab, served


@pytest.fixture(scope="module")
def gui(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gui]:
    """A server of its own, whose runs are those of these tests alone."""
    with served(tmp_path_factory.mktemp("trying"), pictures=1) as gui:
        yield gui


@pytest.fixture(scope="module")
def saved(gui: Gui) -> list[Path]:
    """A model, and what a training saved beside it."""
    make_sd1(gui.folder / "tiny.safetensors")
    files = [gui.folder / name for name in ("cat-000001.safetensors", "my cat.safetensors")]
    for seed, path in enumerate(files):
        write_lora(path, seed)
    told = [events.Saved(path=str(path), kind="model", size_bytes=path.stat().st_size) for path in files]
    gui.past_training("cat", [*told, events.Saved(path="gone", kind="model", size_bytes=1)], Outcome(state="done"), {})
    return files


def test_from_a_click_to_a_grid(tab: Tab, saved: list[Path]) -> None:
    page, view = tab.page, tab.page.locator("[data-view=try]")
    tab.make_project(model=tab.gui.folder / "tiny.safetensors")
    tab.select("try")
    files = view.locator("[data-path]")
    expect(files).to_have_text(["my cat.safetensors", "cat-000001.safetensors"])
    expect(view.locator(".note")).to_have_text("Pictures appear here as they are drawn.")
    for name in ("Compare cat-000001", "Compare my cat"):
        page.get_by_role("button", name=name).click()
    compared = page.locator("#f-try-grid")
    expect(compared).to_have_value(f"{saved[0]} '{saved[1]}'")
    page.get_by_role("button", name="Leave out cat-000001").click()
    expect(compared).to_have_value(f"'{saved[1]}'")
    tab.fill("try", prompt="a red cat\na dog --w 72", W=64, H=64, steps=2, grid_multipliers="0 1", seed=7)
    expect(view.locator(".figures")).to_contain_text("2 prompts, 2 columns, 1 each")
    view.locator("[data-do=start]").click()
    pictures = view.locator(".smp button img")
    expect(pictures).to_have_count(4)
    expect(view.locator(".smp .h span.muted")).to_have_text(["tiny", "my cat x1"])
    expect(view.locator(".note")).to_contain_text("grid_")
    tab.shot("try")
    folder = tab.gui.work / "meadow" / "output" / "try"
    assert len(list(folder.glob("im_*.png"))) == 4
    with Image.open(next(folder.glob("grid_*.png"))) as sheet:
        assert sheet.width > 2 * 64
    view.get_by_role("button", name="Enlarge: a dog, my cat x1").click()
    expect(page.get_by_role("dialog")).to_contain_text("2 of 2")


def test_what_is_wrong_stands_at_its_field(tab: Tab) -> None:
    tab.make_project()
    tab.select("try")
    tab.fill("try", prompt="a --q 3")
    box = tab.page.locator("[data-view=try] [data-flag=prompt]")
    expect(box).to_contain_text("there is no option --q")
    tab.fill("try", prompt="a", grid="/etc/hostname")
    expect(tab.page.locator("[data-view=try] .finds")).to_contain_text("/etc/hostname")
