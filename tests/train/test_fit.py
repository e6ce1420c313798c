"""The fastest settings that fit: which ways there are, how they are searched, and real steps of a tiny model."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts.library.errors import BadOption
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.train.fit import Trial, fastest, last_resorts, search, ways
from sd_scripts.options.spec import from_values
from sd_scripts.options.train_network import TrainNetworkOptions
from tests.train.tiny import options

TOOLS = Path(__file__).parents[2] / "sd_scripts" / "tools"


def anything(_options):
    """No check refuses."""


def test_a_steps_pictures_stay_as_many(tmp_path):
    given = options(tmp_path, train_batch_size=6, gradient_accumulation_steps=2, mixed_precision="bf16")
    found = ways(given, ["precision"], anything)
    sizes = [way.get("train_batch_size", 6) for way in found if not way.get("gradient_checkpointing")]
    assert sizes == [12, 6, 4, 3, 2, 1]
    for way in found:
        assert way.get("train_batch_size", 6) * way.get("gradient_accumulation_steps", 2) == 12
        assert way["cache_latents"] and "mixed_precision" not in way and "fused_backward_pass" not in way


def test_what_would_change_what_is_learnt_is_asked_for_first(tmp_path):
    given = options(tmp_path, train_batch_size=1, shuffle_caption=True)
    assert {way.get("mixed_precision") for way in ways(given, ["precision"], anything)} == {"bf16", None}
    free = ways(given, ["clipping", "optimizer"], anything)
    assert {way.get("optimizer_type") for way in free} == {None, "AdamW8bit"}
    assert any(way.get("fused_backward_pass") for way in free)
    # Captions that change cannot be encoded beforehand.
    assert not any("cache_text_encoder_outputs" in way for way in free)
    # Without clipping it learns the same.
    assert any(way.get("fused_backward_pass") for way in ways(options(tmp_path, max_grad_norm=0), [], anything))


def test_what_the_checks_refuse_is_no_way(tmp_path):
    def refuses(given):
        if given.precision.gradient_checkpointing:
            raise BadOption("gradient_checkpointing", "no")

    found = ways(options(tmp_path), [], refuses)
    assert found and not any(way.get("gradient_checkpointing") for way in found)
    given = from_values(
        TrainNetworkOptions, {"train_batch_size": 2, "resolution": "64", "train_data_dir": str(tmp_path)}
    )
    (tmp_path / "1_a").mkdir()
    least = last_resorts(given, anything)
    assert [set(way) for way in least][0] >= {"mem_eff_attn", "gradient_checkpointing", "train_batch_size"}
    assert least[-1]["cpu_offload_checkpointing"]


def test_what_needs_more_than_one_that_did_not_fit_is_left_out():
    needs = {"a": 9.0, "b": 5.0, "c": 4.0, "d": 3.0, "e": 6.0}
    tried = []

    def attempt(way):
        tried.append(way["way"])
        return Trial(way, None, step_s=needs[way["way"]], peak_bytes=1.0, fits=needs[way["way"]] < 5)

    candidates = [{"way": name} for name in needs]
    trials = list(search(candidates, 5.0, 3, lambda way: needs[way["way"]], attempt))
    # a and e are far beyond the limit; of the others no more than three are tried.
    assert tried == ["b", "c", "d"] and [trial.values["way"] for trial in trials if trial.skipped] == ["a", "e"]
    assert fastest(trials).values == {"way": "d"}
    assert fastest([trial for trial in trials if not trial.fits]) is None


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("fit")
    make_sd1(folder / "tiny.safetensors")
    (folder / "pictures").mkdir()
    for number in range(3):
        Image.effect_noise((64, 64), 50).convert("RGB").save(folder / "pictures" / f"{number}.png")
    entries = {str(file): {"caption": "noise"} for file in (folder / "pictures").iterdir()}
    (folder / "meta.json").write_text(json.dumps(entries))
    return folder


def fit(place, *words, batch=4, **environment):
    training = {
        "pretrained_model_name_or_path": place / "tiny.safetensors", "in_json": place / "meta.json",
        "train_data_dir": place / "pictures", "resolution": "64,64", "output_dir": place / "out",
        "train_batch_size": batch, "max_data_loader_n_workers": 0, "save_every_n_steps": 1,
    }  # fmt: skip
    own = [f"--{flag}={value}" for flag, value in training.items()]
    argv = [sys.executable, TOOLS / "fit_memory.py", "--steps", "1", *words, "--", *own]
    env = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | environment
    return subprocess.run(list(map(str, argv)), cwd=place, env=env, capture_output=True, text=True, timeout=300)


def test_real_steps_are_tried_and_the_fastest_that_fits_is_written(place):
    before = sorted(place.rglob("*"))
    told = place.parent / "events.jsonl"
    done = fit(place, "--most", "2", "--output", place.parent / "found", SD_SCRIPTS_EVENTS=str(told))
    assert done.returncode == 0, done.stderr
    assert "The fastest that fits: --" in done.stderr and " s a step, " in done.stderr
    written = (place.parent / "found.toml").read_text()
    assert "cache_latents = true" in written and 'in_json = "' in written
    summary = [json.loads(line) for line in told.read_text().splitlines()][-1]
    outcomes = [row["outcome"] for row in summary["tables"]["tried"]]
    assert outcomes.count("fits") == 2 and set(outcomes) == {"fits", "not tried"}
    assert {row["option"] for row in summary["tables"]["chosen"]} >= {"cache_latents"}
    # No model, no cache, no log is left behind.
    assert sorted(place.rglob("*")) == before


def test_nothing_fits_into_less_than_the_program_itself(place):
    done = fit(place, "--memory_gb", "0.1", "--most", "1", batch=1)
    assert done.returncode == 1
    assert "Nothing that was tried fits into 0.1 GB." in done.stderr and "smaller --resolution" in done.stderr


def test_what_the_training_refuses_is_said_before_anything_is_tried(place):
    done = fit(place, batch=0)
    assert done.returncode == 2 and "--train_batch_size" in done.stderr and "tried" not in done.stdout
