"""DeepSpeed: its configuration everywhere; the training itself where its package is installed."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from sd_scripts.library.errors import NotInstalled
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.train import zero
from sd_scripts.library.train.checks import check_training
from tests.train.tiny import options

SCRIPT = Path(__file__).parents[2] / "sd_scripts" / "fine_tune.py"
INSTALLED = importlib.util.find_spec("deepspeed") is not None
needs_deepspeed = pytest.mark.skipif(not INSTALLED, reason="DeepSpeed is not installed.")


@pytest.fixture(autouse=True)
def environment(monkeypatch):
    """Two processes, as a launcher says it."""
    for name, value in {"RANK": "0", "LOCAL_RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(name, value)


def test_without_its_package_there_is_one_sentence(tmp_path, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match="needs the package deepspeed, .* -m pip install deepspeed$"):
        check_training(options(tmp_path, deepspeed=True))


def config(folder, **values):
    """What DeepSpeed is told."""
    made = zero.plugin(options(folder, deepspeed=True, **values))
    made.set_mixed_precision(values.get("mixed_precision", "no"))
    return made.deepspeed_config


def test_batches_steps_and_clipping_reach_its_configuration(tmp_path):
    told = config(tmp_path, train_batch_size=3, gradient_accumulation_steps=4, max_grad_norm=0.5)
    assert (told["train_micro_batch_size_per_gpu"], told["train_batch_size"]) == (3, 6)
    assert told["gradient_accumulation_steps"] == 1
    assert told["gradient_clipping"] == 0.5
    assert told["zero_optimization"]["stage"] == 2
    assert not told["bf16"]["enabled"] and not told["fp16"]["enabled"]


def test_what_lies_elsewhere_reaches_its_configuration(tmp_path):
    optimizer = {"offload_optimizer_device": "nvme", "offload_optimizer_nvme_path": "/one"}
    weights = {"offload_param_device": "nvme", "offload_param_nvme_path": "/two"}
    told = config(tmp_path, zero_stage=3, **optimizer, **weights, zero3_save_16bit_model=True)["zero_optimization"]
    assert told["stage"] == 3
    assert told["offload_optimizer"] == {"device": "nvme", "nvme_path": "/one"}
    assert told["offload_param"] == {"device": "nvme", "nvme_path": "/two"}
    assert told["stage3_gather_16bit_weights_on_model_save"]
    assert zero.plugin(options(tmp_path, deepspeed=True, zero_stage=3, zero3_init_flag=True)).zero3_init_flag
    assert not zero.plugin(options(tmp_path, deepspeed=True, zero_stage=3)).zero3_init_flag


@pytest.mark.parametrize("master", [False, True])
def test_number_formats_reach_its_configuration(tmp_path, master):
    assert config(tmp_path, mixed_precision="bf16")["bf16"]["enabled"]
    told = config(tmp_path, mixed_precision="fp16", fp16_master_weights_and_gradients=master)["fp16"]
    assert told["enabled"] and told["fp16_master_weights_and_grads"] == master


def test_one_process_makes_a_group_of_its_own(tmp_path, monkeypatch):
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    assert config(tmp_path, train_batch_size=3)["train_batch_size"] == 3
    assert os.environ["MASTER_ADDR"] == "127.0.0.1" and int(os.environ["MASTER_PORT"]) > 0


def test_states_fit_the_same_number_of_processes_only(tmp_path):
    assert zero.kind(options(tmp_path), 2) == ""
    first = zero.kind(options(tmp_path, deepspeed=True), 2)
    assert first != zero.kind(options(tmp_path, deepspeed=True), 4)
    assert first != zero.kind(options(tmp_path, deepspeed=True, zero_stage=1), 2)


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("divided")
    make_sd1(folder / "base.safetensors")
    for name in "abcd":
        Image.effect_noise((128, 128), 60).convert("RGB").save(folder / f"{name}.png")
    (folder / "meta.json").write_text(json.dumps({name: {"caption": f"a {name}"} for name in "abcd"}))
    return folder


def train(project, out, *more):
    """Trains with two processes of one processor each; losses, norms of gradients, and the saved weights."""
    given = ["--in_json=meta.json", "--train_data_dir=.", "--resolution=128,128", "--cache_latents", "--seed=3"]
    given += ["--pretrained_model_name_or_path=base.safetensors", f"--output_dir={out}", "--output_name=X"]
    given += ["--learning_rate=1e-3", "--max_train_steps=4", "--gradient_accumulation_steps=2"]
    given += ["--optimizer_type=torch.optim.SGD", *more]
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", "DS_ACCELERATOR": "cpu"}
    environment |= {"SD_SCRIPTS_EVENTS": str(project / f"{out}.jsonl")}
    environment |= {} if "--deepspeed" in more else {"ACCELERATE_USE_CPU": "true"}
    for name in ("RANK", "LOCAL_RANK", "WORLD_SIZE"):
        environment.pop(name, None)
    (project / f"{out}.jsonl").unlink(missing_ok=True)
    done = subprocess.run([*launch, str(SCRIPT), *given], cwd=project, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told = [json.loads(line) for line in (project / f"{out}.jsonl").read_text().splitlines()]
    metrics = [event["values"] for event in told if event["event"] == "metric"]
    return metrics, load_file(project / out / "X.safetensors")


@pytest.fixture(scope="module")
def undivided(project):
    return train(project, "plain")


@needs_deepspeed
@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_it_trains_as_without_and_saves_whole_weights(project, undivided, stage):
    plain, expected = undivided
    divided, saved = train(project, f"stage{stage}", "--deepspeed", f"--zero_stage={stage}")
    assert [told["loss"] for told in divided] == pytest.approx([told["loss"] for told in plain], rel=1e-5)
    if stage:
        assert [t["grad_norm"] for t in divided] == pytest.approx([t["grad_norm"] for t in plain], rel=1e-4)
    assert saved.keys() == expected.keys()
    for name, tensor in saved.items():
        assert tensor.dtype == expected[name].dtype
        torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


@needs_deepspeed
@pytest.mark.parametrize("stage", [2, 3])
def test_it_goes_on_exactly(project, stage):
    given = ["--deepspeed", f"--zero_stage={stage}", "--save_state", "--save_every_n_steps=2"]
    whole, expected = train(project, f"whole{stage}", *given)
    state = f"whole{stage}/X-step00000002-state"
    resumed, saved = train(project, f"resumed{stage}", *given, f"--resume={state}")
    assert [told["loss"] for told in resumed] == [told["loss"] for told in whole[2:]]
    assert all(torch.equal(tensor, expected[name]) for name, tensor in saved.items())


@needs_deepspeed
def test_what_16_bits_save_is_half_as_exact(project):
    given = ["--deepspeed", "--zero_stage=3", "--zero3_init_flag", "--mixed_precision=bf16"]
    _, exact = train(project, "exact", *given)
    _, half = train(project, "half", *given, "--zero3_save_16bit_model")
    name = "model.diffusion_model.time_embed.0.weight"
    assert (exact[name].dtype, half[name].dtype) == (torch.float32, torch.bfloat16)
    torch.testing.assert_close(exact[name].bfloat16(), half[name])
