"""How long a training will take and how much memory, as the page tells it of an earlier run."""

import json

import pytest
from PIL import Image

from kohya_gui.checks import check
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
