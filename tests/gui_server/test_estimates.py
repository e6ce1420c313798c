"""How long a training will take and how much memory, as the page tells it of an earlier run."""

import json

import pytest
from PIL import Image

from kohya_gui import devices
from kohya_gui.checks import check
from kohya_gui.devices import Gpu
from kohya_gui.facts import estimates
from kohya_gui.files import Roots
from kohya_gui.past import Pace, Past, nearest
from kohya_gui.project import Project
from kohya_gui.runs.store import Outcome
from kohya_gui.stages import STAGES
from kohya_gui.words import duration, speaking
from sd_scripts.library import events


@pytest.fixture
def folder(tmp_path):
    """A picture, with the metadata that names it."""
    picture = tmp_path / "a.png"
    Image.new("RGB", (64, 64)).save(picture)
    (tmp_path / "meta.json").write_text(json.dumps({str(picture): {"caption": "a meadow"}}))
    return tmp_path


def ran(lab, steps_s, waits_s=(), load_s=5.0, save_s=3.0, beside_s=0.0):
    """What is told of a training that took so long for each of its steps, and for the pictures in them."""
    record = lab.store.create("train", "old", title="", argv=["x"], work_dir=".", values={}, devices=["gpu:0"])
    now_s, told = 100.0, []

    def tell(event, seconds_s=0.0):
        nonlocal now_s
        now_s += seconds_s
        told.append(events.to_line(event, now_s))

    tell(events.Phase(name="load_model"), 2.0)
    tell(events.Phase(name="train", total=len(steps_s)), load_s)
    for step, (step_s, data_s) in enumerate(zip(steps_s, waits_s or [0.0] * len(steps_s), strict=True), 1):
        values = {"loss": 0.1, "step_s": step_s, "data_s": data_s, "forward_s": step_s - data_s}
        tell(events.Metric(step=step, epoch=1, values=values), step_s + beside_s)
        rate_per_s = step / (now_s - 100.0 - 2.0 - load_s)
        tell(events.Progress(phase="train", done=step, total=len(steps_s), rate_per_s=rate_per_s))
    tell(events.Phase(name="save"))
    tell(events.Summary(counts={}), save_s)
    lab.store.events_path(record.id).write_text("\n".join(told) + "\n")
    lab.store.finish(record.id, Outcome(state="done", started=100.0, ended=now_s))
    return nearest(lab.store, STAGES["train"], {}).pace


def test_compiling_counts_once(lab, folder):
    pace = ran(lab, [170.0] + [0.06] * 39)
    assert pace.each_s == pytest.approx(0.06) and pace.once_s == pytest.approx(2 + 5 + 3 + 170 - 0.06)
    (time,) = estimates(draft_of(folder), Past("old", pace, None, ()))
    assert time.value == "about 13 min"
    # Pictures of another size, which come later, are compiled for too.
    later = ran(lab, [100.0] + [0.06] * 20 + [70.0] + [0.06] * 18)
    assert later.each_s == pytest.approx(0.06) and later.once_s == pytest.approx(pace.once_s - 0.06)


def test_a_run_with_the_same_steps_takes_as_long_again(lab):
    # Every fourth step waits for pictures, as four readers come to it at once.
    waits_s = [3.0, 0.0, 0.0, 0.0] * 10
    assert ran(lab, [0.5 + wait_s for wait_s in waits_s], waits_s).of(40) == pytest.approx(60, rel=0.05)
    # Samples and saves between the steps, where there were many steps.
    many = ran(lab, [0.5] * 400, beside_s=0.1)
    assert many.each_s == pytest.approx(0.6) and many.of(400) == pytest.approx(250)
    assert ran(lab, [0.5] * 8, beside_s=0.1).each_s == pytest.approx(0.5)


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
            (time,) = estimates(draft_of(folder), Past("old", Pace(0.5), None, differs))
            assert time.note.endswith(told)


GPUS = [Gpu("Large", 24_000_000_000), Gpu("Small", 8_000_000_000)]


def memory_told(folder, **typed):
    facts = estimates(draft_of(folder, **typed), Past("old", Pace(0.5), 6e9, ()))
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
        told = estimates(draft_of(folder, gpu_ids="0,1"), Past("old", Pace(0.5), 6e9, ()))
        assert told[0].value == "6.0 GB / 8.0 GB (GPU ごと)"
