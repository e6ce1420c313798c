"""The warning of a training that is expected to need more memory than there is, and what makes it go."""

import json
import time
from pathlib import Path

import pytest
from PIL import Image

from kohya_gui import devices, shortage
from kohya_gui.checks import check
from kohya_gui.draft import Fix
from kohya_gui.files import Roots
from kohya_gui.memory import memory_of
from kohya_gui.project import Project
from kohya_gui.runs.store import Outcome, RunStore
from kohya_gui.shortage import add_shortage
from kohya_gui.stages import STAGES
from kohya_gui.words import size, speaking
from sd_scripts.library import events
from sd_scripts.library.example.sd_models import make_sd1

LARGE, SMALL = 24_000_000_000, 4_000_000


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_sd1(tmp_path_factory.mktemp("model") / "m.safetensors")


@pytest.fixture
def store(tmp_path: Path) -> RunStore:
    return RunStore(tmp_path / "runs")


def checked_of(model: Path, **typed: object):
    values = {"pretrained_model_name_or_path": str(model), "resolution": "64,64", "train_batch_size": "4", **typed}
    return check(STAGES["train"], values, Project(work_dir=str(model.parent)), Roots([model.parent]))


def warned(store: RunStore, model: Path, **typed: object):
    checked = checked_of(model, **typed)
    add_shortage([checked], store)
    return [one for one in checked.findings if one.key.startswith("check.memory_")]


def have_gpus(monkeypatch, *sizes: int) -> None:
    monkeypatch.setattr(devices, "gpus", lambda: [devices.Gpu(f"GPU of {one}", one) for one in sizes])
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", ",".join(map(str, range(len(sizes)))))


def have_ram(monkeypatch, whole_bytes: int) -> None:
    have_gpus(monkeypatch)
    monkeypatch.setattr(shortage, "whole_ram_bytes", lambda: whole_bytes)


def ended(store: RunStore, stage: str, values: dict[str, object], *told: events.Event) -> None:
    record = store.create(stage, "x", title="", argv=["x"], work_dir=".", values=values)
    store.events_path(record.id).write_text("".join(events.to_line(event) + "\n" for event in told))
    store.finish(record.id, Outcome(state="done", ended=time.time()))


def test_the_gpu_that_the_form_names_must_hold_it(store, model, monkeypatch):
    have_gpus(monkeypatch, LARGE, SMALL)
    assert not warned(store, model)
    (one,) = warned(store, model, gpu_ids="1")
    needed = size(memory_of(checked_of(model, gpu_ids="1").draft).total)
    assert one.level == "warning" and one.text.startswith(f"About {needed} of memory is expected to be needed, and GPU")
    assert f"GPU of {SMALL} has 4 MB" in one.text and one.fixes[0] == Fix("Fit to my GPU", action="fit")
    # The smallest of several says it.
    assert [finding.text for finding in warned(store, model, gpu_ids="0,1")] == [one.text]
    with speaking("ja"):
        (japanese,) = warned(store, model, gpu_ids="1")
        assert "は 4 MB です" in japanese.text and japanese.fixes[0].label == "GPU に合わせる"


def test_without_a_gpu_the_ram_must_hold_all_processes(store, model, monkeypatch):
    have_ram(monkeypatch, LARGE)
    total = memory_of(checked_of(model).draft).total
    assert not warned(store, model)
    have_ram(monkeypatch, int(total * 1.5))
    assert not warned(store, model)
    (one,) = warned(store, model, num_processes="2")
    assert (one.level, one.key) == ("warning", "check.memory_ram")
    assert f"About {size(2 * total)}" in one.text and one.fixes[0] == Fix("Fit to my memory", action="fit")
    with speaking("ja"):
        assert "RAM は" in warned(store, model, num_processes="2")[0].text


def test_what_takes_less_memory_is_offered(store, model, monkeypatch):
    have_gpus(monkeypatch, SMALL)
    (one,) = warned(store, model, train_text_encoder=True)
    plain = checked_of(model, train_text_encoder=True).draft
    assert 2 <= len(one.fixes) <= 3
    for fix in one.fixes[1:]:
        assert memory_of(plain.mended(fix)).total < memory_of(plain).total, fix
    have_ram(monkeypatch, SMALL)
    assert "AdamW8bit" not in [fix.label for fix in warned(store, model)[0].fixes]


def test_what_was_seen_to_fit_is_not_warned_of(store, model, monkeypatch):
    have_gpus(monkeypatch, SMALL)
    now = {flag: checked_of(model).draft.get(flag) for flag in checked_of(model).draft.specs}

    def trained(peak_bytes: float) -> None:
        told = events.Metric(step=1, epoch=1, values={"step_s": 1.0, "gpu_peak_bytes": peak_bytes})
        ended(store, "train", now, events.Phase(name="train", total=1), told)

    # On a GPU that was larger.
    trained(SMALL + 1.0)
    assert warned(store, model)
    trained(SMALL - 1.0)
    assert not warned(store, model) and warned(store, model, train_batch_size="8")
    ended(store, "fit_train", now | {"train_batch_size": 8}, events.Summary(counts={}, tables={"chosen": []}))
    assert not warned(store, model, train_batch_size="8")


def test_a_start_asks_once_and_does_not_refuse(studio, tmp_path, model, monkeypatch):
    have_ram(monkeypatch, SMALL)
    home = tmp_path / "home"
    (home / "m.safetensors").write_bytes(model.read_bytes())
    Image.new("RGB", (64, 64)).save(home / "a.png")
    (home / "meta.json").write_text(json.dumps({str(home / "a.png"): {"caption": "a meadow"}}))
    values = {"pretrained_model_name_or_path": str(home / "m.safetensors"), "in_json": str(home / "meta.json")}
    values |= {"output_dir": str(home / "out"), "output_name": "x", "resolution": "64,64"}
    shown = studio.check(stage="train", values=values)["findings"]
    (warning,) = [one for one in shown if one["level"] == "warning"]
    assert "of RAM" in warning["text"] and "error" not in [one["level"] for one in shown]
    assert shown.index(warning) == 0
    assert warning in studio.start(stage="train", values=values)["findings"]
