"""--dataset_class: the example of the documentation trains; what is missing is said in one sentence."""

import re
import sys
from pathlib import Path

import pytest

from sd_scripts.library.data.dataset_class import find_class
from sd_scripts.library.data.dataset_facts import described
from sd_scripts.library.data.read_dataset import open_data
from sd_scripts.library.data.training_data import Item, Moment, TrainingData
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.data import check_data
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values
from tests.train.tiny import Recorder

DOCUMENT = Path(__file__).parents[2] / "docs" / "dataset_class.md"
EXAMPLE = re.search(r"```python\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.S)[1]


@pytest.fixture
def write(tmp_path, monkeypatch):
    """Writes the module my_data in the working folder, and forgets it afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield lambda text: (tmp_path / "my_data.py").write_text(text, encoding="utf-8")
    sys.modules.pop("my_data", None)


def options(**values):
    return from_values(FineTuneOptions, {"dataset_class": "my_data.Colours", "train_batch_size": 2} | values)


def test_the_documented_class_gives_data(write):
    write(EXAMPLE)
    check_data(options())
    data = open_data(options(), Recorder().report)
    assert isinstance(data, TrainingData) and len(data.images) == 3
    assert sorted(item for batch in data.plan(0, 1) for item in batch) == [Item(n, 0) for n in range(3)]
    assert data.load(Item(0, 0), Moment()).pixels_CHW.shape == (3, 64, 64)
    assert described(data) == ["Data of my_data.Colours."]


MISTAKES = {
    "": "my_data has no class Colours",
    "import gone_package": "my_data cannot be imported (ModuleNotFoundError: No module named 'gone_package')",
    "def": "my_data cannot be imported (SyntaxError",
    EXAMPLE.replace("def plan", "def plans"): "it has no plan. docs/dataset_class.md says what each must do",
    EXAMPLE.replace("def load", "def read").replace("def caption", "def says"): "it has no caption and no load",
    EXAMPLE.replace("captions_change = False", "pass"): "it has no captions_change",
    EXAMPLE.replace("(64, 64))", "(64, 60))"): "the image red has the bucket (64, 60); both sides must be multiples",
    EXAMPLE.replace("TrainImage(name, Path(name), name, (64, 64))", "name"): "images holds str, not TrainImage",
    EXAMPLE.replace("range(len(self.images))", "range(9)"): "its plan names an image beyond the 3 of images",
    EXAMPLE.replace("range(len(self.images))", "range(0)"): "gives no batch",
    EXAMPLE.replace("expand(3, 64, 64)", "expand(3, 32, 64)"): "a tensor of (3, 32, 64), where (3, 64, 64) is wanted",
    EXAMPLE.replace("pixels_CHW=", "mask_HW="): "an Example must have either latents_CHW or pixels_CHW",
    EXAMPLE.replace("options.length", "options.lengths"): "it fails (AttributeError: ",
}


@pytest.mark.parametrize("text", MISTAKES, ids=lambda text: MISTAKES[text])
def test_mistakes_are_said(write, text):
    assert text != EXAMPLE
    write(text)
    with pytest.raises(BadOption) as caught:
        open_data(options(), Recorder().report)
    assert MISTAKES[text] in str(caught.value) and str(caught.value).startswith("--dataset_class my_data.Colours: ")
    assert caught.value.option == "dataset_class"


@pytest.mark.parametrize(
    ("values", "option", "words"),
    [
        ({"dataset_config": "x.toml"}, "dataset_config", "exclude each other"),
        ({"cache_latents": True}, "cache_latents", "needs a --dataset_class that has uncached, unchanged, mirrors"),
        ({"cache_latents_to_disk": True}, "cache_latents_to_disk", "a --dataset_class keeps latents itself"),
        ({"dataset_class": "Colours"}, "dataset_class", "write it as module.Class"),
    ],
)
def test_what_does_not_go_together(write, values, option, words):
    write(EXAMPLE)
    with pytest.raises(BadOption, match=words) as caught:
        check_data(options(**values))
    assert caught.value.option == option


def test_installed_modules_are_found(write):
    write(EXAMPLE)
    with pytest.raises(BadOption, match="has no class Nothing"):
        find_class("json.Nothing")
