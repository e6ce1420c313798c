"""A LoRA and an SDXL model, trained from the page by switching its Train tab; tiny models, real scripts."""

import json
from pathlib import Path

from playwright.sync_api import expect
from safetensors import safe_open

from sd_scripts.library.example.sd_models import make_sd1, make_sdxl
from tests.browser.runs import start, wait_for_rows
from tests.browser.test_runs import make_pictures
from tests.page import Gui, Tab

BRIEF = {"max_train_steps": 2, "max_data_loader_n_workers": 0, "seed": 7}


def keys_of(model: Path) -> list[str]:
    with safe_open(model, "np") as file:
        return list(file.keys())


def test_a_lora_and_an_sdxl_model_are_trained_from_one_tab(tab: Tab, gui: Gui) -> None:
    """The pictures' folder serves the LoRA, metadata the SDXL model; what was typed once holds for both."""
    page, folder = tab.page, gui.folder / "trainings"
    pictures = make_pictures(folder / "pictures", [(64, 64)] * 2, 1)
    sdxl = make_sdxl(folder / "xl.safetensors")
    tab.make_project("methods", [pictures], make_sd1(folder / "tiny.safetensors"))
    work = gui.work / "methods"
    entries = {str(path): {"caption": "noise"} for path in sorted(pictures.glob("*.png"))}

    tab.select("train")
    page.locator('[data-view="train"] .kg-seg label', has_text="LoRA").click()
    expect(page.locator("#f-train_lora-network_module")).to_have_value("networks.lora")
    tab.fill("train_lora", **BRIEF, resolution="64,64", network_dim=2, learning_rate="1e-3", output_name="small")
    tab.shot("train_lora")
    start(tab, "train")
    assert wait_for_rows(tab, "small", 1) == ["done"]
    assert any(key.endswith("lora_down.weight") for key in keys_of(work / "output" / "small.safetensors"))

    work.joinpath("meta_clean.json").write_text(json.dumps(entries))
    tab.select("train")
    page.locator('[data-view="train"] input[value="sdxl"]').check(force=True)
    if page.evaluate("Studio.stage.current('train')") != "sdxl_full":
        page.locator('[data-view="train"] .kg-seg label', has_text="Fine-tune").click()
    # The project's model is of the other family; so is the learning rate.
    expect(page.locator('[data-view="train"] .finds')).to_contain_text("Stable Diffusion 1 or 2")
    tab.fill("sdxl_full", pretrained_model_name_or_path=sdxl, output_name="large", learning_rate="1e-5")
    kept = "['max_train_steps', 'seed', 'resolution'].map(flag => Studio.store.value('sdxl_full', flag))"
    assert page.evaluate(kept) == ["2", "7", "64,64"]
    expect(page.locator('[data-view="train"] .finds')).not_to_contain_text("Stable Diffusion 1 or 2")
    start(tab, "train")
    assert wait_for_rows(tab, "large", 1) == ["done"]
    assert any(key.startswith("conditioner.") for key in keys_of(work / "output" / "large.safetensors"))
