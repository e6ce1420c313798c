"""Every training, from the page to a saved file, by switching its Train tab; tiny models, real scripts."""

import json
from pathlib import Path

from playwright.sync_api import expect
from safetensors import safe_open

from sd_scripts.library.example.sd_models import make_sd1, make_sdxl
from tests.browser.runs import start, wait_for_rows
from tests.browser.test_runs import make_pictures
from tests.page import Gui, Tab

# Typed once, for all trainings, and for each of them.
ONCE = {"seed": 7, "resolution": "64,64", "min_bucket_reso": 64}
EACH = {"max_train_steps": 2, "max_data_loader_n_workers": 0}
SMALL = {"network_dim": 2}
WORD = {"token_string": "my-cat", "init_word": "cat", "use_object_template": True}
# {training: what its form is told besides, and what a key of its file has in it; "" where that is a .pt file}
OF_SD = {
    "train_lora": (SMALL, "lora_down.weight"),
    "dreambooth": ({}, "cond_stage_model."),
    "train_inversion": (WORD, ""),
    "train_hypernetwork": ({}, ""),
}
OF_SDXL = {"sdxl_lora": (SMALL, "lora_down.weight"), "sdxl_inversion": (WORD, "")}


def keys_of(model: Path) -> list[str]:
    with safe_open(model, "np") as file:
        return list(file.keys())


def switch(tab: Tab, stage: str) -> None:
    """Presses the two switches of the Train tab."""
    tab.select("train")
    family = tab.page.evaluate("stage => Studio.data.trainers[stage][1]", stage)
    view = tab.page.locator('[data-view="train"]')
    view.locator(f'input[value="{family}"]').check(force=True)
    view.locator(f'input[value="{stage}"]').check(force=True)
    tab.page.wait_for_function("stage => Studio.stage.current('train') === stage", arg=stage)


def begin(tab: Tab, trainings: dict[str, tuple[dict[str, object], str]]) -> None:
    """Fills the form of each, and starts it: they wait for one another."""
    for stage, (more, _) in trainings.items():
        switch(tab, stage)
        tab.fill(stage, **EACH, **more, output_name=stage)
        expect(tab.page.locator('[data-view="train"] .figures')).to_contain_text("2 × 10 = 20")
        tab.shot(f"trainings_{stage}")
        start(tab, "train")


def test_every_training_runs_from_one_tab(tab: Tab, gui: Gui) -> None:
    """The project's folder is of the kind that has a folder for each concept; what was typed once holds for all."""
    page, folder = tab.page, gui.folder / "trainings"
    pictures = make_pictures(folder / "img" / "10_sks dog", [(64, 64)] * 2, 1)
    sdxl = make_sdxl(folder / "xl.safetensors")
    tab.make_project("methods", [folder / "img"], make_sd1(folder / "tiny.safetensors"))
    output = gui.work / "methods" / "output"

    switch(tab, "train_lora")
    expect(page.locator("#f-train_lora-network_module")).to_have_value("networks.lora")
    tab.fill("train_lora", **ONCE)
    begin(tab, OF_SD)

    switch(tab, "sdxl_lora")
    # The project's model is of the other family.
    expect(page.locator('[data-view="train"] .finds')).to_contain_text("Stable Diffusion 1 or 2")
    tab.fill("sdxl_lora", pretrained_model_name_or_path=sdxl, resolution="64,64", min_bucket_reso=64)
    kept = "['max_train_steps', 'seed', 'resolution'].map(flag => Studio.store.value('sdxl_lora', flag))"
    assert page.evaluate(kept) == ["1600", "7", "64,64"]
    expect(page.locator('[data-view="train"] .finds')).not_to_contain_text("Stable Diffusion 1 or 2")
    begin(tab, OF_SDXL)

    entries = {str(path): {"caption": "noise"} for path in sorted(pictures.glob("*.png"))}
    gui.work.joinpath("methods", "meta_clean.json").write_text(json.dumps(entries))
    page.reload()
    tab.open()
    switch(tab, "sdxl_full")
    tab.fill("sdxl_full", **EACH, output_name="large", learning_rate="1e-5")
    start(tab, "train")

    for name in (*OF_SD, *OF_SDXL, "large"):
        assert wait_for_rows(tab, name, 1) == ["done"], name
    for stage, (_, part) in (OF_SD | OF_SDXL | {"large": ({}, "conditioner.")}).items():
        keys = keys_of(output / f"{stage}.safetensors") if part else []
        assert any(part in key for key in keys) or (output / f"{stage}.pt").stat().st_size, (stage, keys)
