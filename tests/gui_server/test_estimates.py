"""How long a training will take and how much memory, as the page tells it of an earlier run."""

import json

import pytest
from PIL import Image

from kohya_gui import devices
from kohya_gui.checks import check
from kohya_gui.devices import Gpu
from kohya_gui.facts import estimates
from kohya_gui.files import Roots
from kohya_gui.past import Past
from kohya_gui.project import Project
from kohya_gui.stages import STAGES
from kohya_gui.words import duration, speaking


@pytest.fixture
def folder(tmp_path):
    """A picture, with the metadata that names it."""
    picture = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(picture)
    (tmp_path / "meta.json").write_text(json.dumps({str(picture): {"caption": "a meadow"}}))
    return tmp_path


def draft_of(folder, **typed):
    values = {"in_json": str(folder / "meta.json"), "resolution": "64,64", "max_train_steps": "10000", **typed}
    return check(STAGES["train"], values, Project(work_dir=str(folder)), Roots([folder])).draft


@pytest.mark.parametrize(
    ("seconds_s", "english", "japanese"),
    [
        (0.2, "1 s", "1 秒"),
        (8.4, "8 s", "8 秒"),
        (59.6, "1 min", "1 分"),
        (130, "2 min", "2 分"),
        (3599, "1 h 0 min", "1 時間 0 分"),
        (42_900, "11 h 55 min", "11 時間 55 分"),
    ],
)
def test_a_duration_is_told_in_the_units_that_suit_it_and_in_the_readers_language(seconds_s, english, japanese):
    assert duration(seconds_s) == english
    with speaking("ja"):
        assert duration(seconds_s) == japanese


def test_settings_that_were_others_are_called_as_the_form_calls_them(folder):
    differs = ("cache_text_encoder_outputs", "optimizer_type")
    for lang, told in (("en", ": Encoded captions, Optimizer"), ("ja", ": キャプションの計算結果、最適化手法")):
        with speaking(lang):
            (time,) = estimates(draft_of(folder), Past("old", 2.0, None, differs))
            assert time.note.endswith(told)


GPUS = [Gpu("Large", 24_000_000_000), Gpu("Small", 8_000_000_000)]


def memory_told(folder, **typed):
    facts = estimates(draft_of(folder, **typed), Past("old", 2.0, 6e9, ()))
    return next(fact.value for fact in facts if fact.name == "Memory")


def test_memory_is_told_of_the_gpu_that_the_form_names(folder, monkeypatch):
    monkeypatch.setattr(devices, "gpus", lambda: GPUS)
    assert memory_told(folder) == "6.0 GB of 24.0 GB"
    assert memory_told(folder, gpu_ids="1") == "6.0 GB of 8.0 GB"
    # Each of several holds as much, so the smallest says whether there is room.
    assert memory_told(folder, gpu_ids="0,1") == "6.0 GB of 8.0 GB on each GPU"
    assert memory_told(folder, num_processes="2") == "6.0 GB of 8.0 GB on each GPU"
    assert memory_told(folder, gpu_ids="0,1", num_processes="4", num_machines="4") == "6.0 GB of 24.0 GB"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "1")
    assert memory_told(folder) == "6.0 GB of 8.0 GB"
    with speaking("ja"):
        told = estimates(draft_of(folder, gpu_ids="0,1"), Past("old", 2.0, 6e9, ()))
        assert told[0].value == "6.0 GB / 8.0 GB (GPU ごと)"
