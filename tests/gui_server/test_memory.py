"""The memory of a training as the page tells it, and what presets say of theirs."""

import json
import re
from pathlib import Path

import pytest

from kohya_gui import devices
from kohya_gui.checks import check
from kohya_gui.facts import estimates
from kohya_gui.files import Roots
from kohya_gui.memory import memory_of, state_bytes
from kohya_gui.project import Project
from kohya_gui.stages import STAGES
from kohya_gui.words import size
from sd_scripts.library.example.sd_models import make_diffusers, make_sd1
from sd_scripts.library.footprint.model import model_of
from sd_scripts.library.footprint.text import text_shape
from sd_scripts.library.footprint.training import Model
from sd_scripts.library.footprint.unet import unet_shape
from sd_scripts.library.models import configs
from sd_scripts.library.train.expected_memory import expected
from sd_scripts.options.cli import parse
from sd_scripts.options.scripts import SCRIPTS

PRESETS = Path(__file__).parents[2] / "presets"
TOLD = re.compile(r"(?:About|約) (\d+\.\d) GB")
# How many numbers the true models have.
NUMBERS = {
    "sd": (859_520_964, (123_060_480,), 83_653_863),
    "sdxl": (2_567_463_684, (123_060_480, 694_659_840), 83_653_863),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {"file": make_sd1(folder / "m.safetensors"), "folder": make_diffusers(folder / "diffusers")}


def draft_of(model, stage="train", **values):
    given = {"pretrained_model_name_or_path": str(model), "resolution": "64,64", **values}
    return check(STAGES[stage], given, Project(work_dir=str(model.parent)), Roots([model.parent])).draft


def test_a_file_and_a_folder_tell_the_same_of_a_model(models):
    file, folder = model_of(models["file"]), model_of(models["folder"])
    assert (file.unet, file.texts, file.unet_numbers) == (folder.unet, folder.texts, folder.unet_numbers)
    assert file.text_numbers == folder.text_numbers or file.text_numbers[0] - folder.text_numbers[0] == 77


@pytest.mark.parametrize(
    ("stage", "values", "each"),
    [
        ("train", {}, (4, 4, 8)),
        ("train", {"full_bf16": True, "mixed_precision": "bf16"}, (2, 2, 4)),
        ("train", {"use_lion_optimizer": True}, (4, 4, 4)),
        ("train", {"optimizer_type": "SOAP"}, (4, 4, None)),
    ],
)
def test_weights_and_states_are_numbers_times_bytes(models, stage, values, each):
    draft = draft_of(models["file"], stage, **values)
    told, unet = memory_of(draft).footprint, model_of(models["file"]).unet_numbers
    assert told.trained == unet * each[0] and told.numbers == unet
    assert told.optimizer == (unet * each[2] if each[2] else None)
    assert state_bytes(draft) == (unet * (each[0] + each[2]) if each[2] else None)
    assert 0 < told.gradients <= unet * each[1]


def test_what_is_less_work_for_the_memory_is_told_so(models):
    plain = memory_of(draft_of(models["file"], train_batch_size="8", resolution="512,512")).total
    assert memory_of(draft_of(models["file"], train_batch_size="4", resolution="512,512")).total < plain
    recomputed = {"train_batch_size": "8", "resolution": "512,512", "gradient_checkpointing": True}
    assert memory_of(draft_of(models["file"], **recomputed)).total < plain
    beside = draft_of(models["file"], "train_lora", train_batch_size="8", resolution="512,512")
    assert memory_of(beside).total < plain and state_bytes(beside) is None
    assert memory_of(draft_of(models["file"], deepspeed=True)) is None


def test_the_figure_has_its_parts_and_says_what_it_rests_on(models, monkeypatch):
    draft = draft_of(models["file"], ema_decay="0.9")
    (fact,) = [fact for fact in estimates(draft, None) if fact.name == "Memory"]
    assert fact.value.startswith("about ") and "for pictures of 64 × 64" in fact.note
    names = ["Weights", "Average of the weights", "Gradients", "AdamW", "Pictures in the layers", "The program itself"]
    assert [name for name, _ in fact.rows] == names
    monkeypatch.setattr(devices, "gpus", lambda: [devices.Gpu("Some GPU", 24_000_000_000)])
    monkeypatch.setattr(devices, "names", lambda: ["gpu:0"])
    (fact,) = [fact for fact in estimates(draft_of(models["file"]), None) if fact.name == "Memory"]
    assert fact.value.endswith(" of 24.0 GB") and "The program itself" not in dict(fact.rows)


def test_processes_on_a_processor_hold_the_whole_model_each(models, monkeypatch):
    def told(**values):
        (fact,) = [fact for fact in estimates(draft_of(models["file"], **values), None) if fact.name == "Memory"]
        return fact

    monkeypatch.setattr(devices, "gpus", list)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    one, three = memory_of(draft_of(models["file"])), memory_of(draft_of(models["file"], num_processes="3"))
    assert (three.each, three.total) == (one.total, 3 * one.total)
    assert told(num_processes="3").value == f"about {size(3 * one.total)}"
    assert told(num_processes="3").rows[-1] == ("Processes", f"3 × {size(one.total)}")
    assert "each of the 3 processes holds the whole model" in told(num_processes="3").note
    # Those of other machines take the memory of those.
    assert told(num_processes="2", num_machines="2") == told()
    # What is saved is one model's.
    assert state_bytes(draft_of(models["file"], num_processes="3")) == state_bytes(draft_of(models["file"]))
    monkeypatch.setattr(devices, "gpus", lambda: [devices.Gpu("Some GPU", 24_000_000_000)] * 2)
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "0,1")
    assert told(num_processes="2").value == f"{told().value} on each GPU"


def told_presets():
    files = sorted(PRESETS.glob("*/*.json"))
    return [file for file in files if "GB on a GPU, reckoned" in file.read_text(encoding="utf-8")]


@pytest.mark.parametrize("file", told_presets(), ids=lambda file: f"{file.parent.name}/{file.stem}")
def test_a_preset_tells_the_memory_that_the_formula_gives(file):
    preset, stage = json.loads(file.read_text(encoding="utf-8")), STAGES[file.parent.name]
    words = []
    for flag, value in preset["values"].items():
        words += [f"--{flag}"] * (value is not False)
        words += [str(one) for one in (value if isinstance(value, list) else [value])] * (not isinstance(value, bool))
    options = parse(SCRIPTS[stage.script], words, stage.script)
    parts = configs.base_config("sdxl" if stage.family == "sdxl" else "sd1")
    texts = tuple(text_shape(parts[name]) for name in ("text_encoder", "text_encoder_2") if name in parts)
    model = Model(unet_shape(parts["unet"]), texts, *NUMBERS[stage.family])
    side_px = 1024 if stage.family == "sdxl" else 512
    gb = expected(options, model, (side_px, side_px), options.length.train_batch_size, on_cpu=False).total / 1e9
    for text in (preset["description"], preset["ja"]["description"]):
        assert float(TOLD.search(text)[1]) == pytest.approx(gb, abs=0.051)


def test_the_presets_for_small_gpus_tell_it():
    assert len(told_presets()) >= 8
