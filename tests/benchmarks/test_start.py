"""A start is split into packages and phases, and models are loaded as the benchmark says."""

import json

import pytest
import torch

from benchmarks import start
from benchmarks.loading import PAGE_BYTES
from benchmarks.models import make_model
from benchmarks.processes import Cost
from benchmarks.rows import Given
from benchmarks.start import load, programs, split

LOADED = json.dumps({"seconds": 1.0, "cpu_s": 1.0, "bytes": 4_000_000, "peak_bytes": 4_000_000})


def test_time_is_divided_among_packages_and_phases():
    lines = [
        {"event": "start", "time": 100.5},
        {"event": "phase", "name": "load_model", "time": 103.0},
        {"event": "phase", "name": "train", "time": 105.0},
        {"event": "metric", "time": 106.0},
        {"event": "phase", "name": "save", "time": 107.0},
    ]
    loads = [("torch.nn", 101.0, 1.0), ("diffusers", 103.5, 0.5), ("json", 106.5, 9.0)]
    assert split(100.0, lines, loads) == {
        "reading in torch": 1.0,
        "reading in diffusers, transformers, accelerate": 0.5,
        "Python, options, checks": 2.0,
        "the model": 1.5,
        "the first step": 1.0,
    }


def test_every_program_is_known():
    names = {path.name for path in programs()}
    assert {"gui.py", "fine_tune.py", "launch.py", "merge_lora.py", "cache_latents.py"} <= names
    # A module that trainers use is no program.
    assert "lora.py" not in names


def test_a_part_takes_the_memory_of_a_part(tmp_path):
    model = make_model(tmp_path / "model.safetensors", "sd1", "reduced", torch.float16)
    found = load("vae", model)
    assert PAGE_BYTES < found["bytes"] < model.stat().st_size / 4
    assert found["peak_bytes"] < model.stat().st_size / 2


@pytest.fixture
def loadings(monkeypatch):
    """{way: device} of the loadings that would be started."""
    found = {}

    def noted(argv):
        found[str(argv[-3])] = str(argv[-1])
        return Cost(1.0, 1.0, 1.0, LOADED)

    monkeypatch.setattr(start, "cost_of", noted)
    return found


def test_both_sides_of_loading_have_one_device(loadings, tmp_path):
    (tmp_path / "model").write_bytes(bytes(10_000_000))
    row, _ = start.against_bare("sd1", tmp_path / "model", Given("cuda", False, 2, tmp_path), 2)
    assert row.what == "loading sd1, fp16, 0.01 GB" and row.goal
    assert loadings == {"again": "cuda", "bare": "cuda"}
    small, _ = start.against_bare("sdxl", tmp_path / "model", Given("cpu", False, 2, tmp_path), 2)
    assert small.goal is None
    loadings.clear()
    start.parts_alone({"sd1": tmp_path / "model"})
    assert loadings == {"whole": "cpu", "vae": "cpu", "texts": "cpu"}
