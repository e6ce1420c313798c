"""SDXL on the one loop: it learns, goes on from a state, and what it saves is read by others."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionXLPipeline

from sd_scripts.library.io.headers import safetensors_header
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.sdxl import load
from tests.networks.tiny_sdxl import train_sdxl_network
from tests.train.tiny import tiny_data, weights
from tests.train.tiny_sdxl import tiny_sdxl, train_sdxl

# diffusers' Euler schedulers hand torch tensors to numpy in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

ROOT = Path(__file__).parents[2]
PARTS = ("unet", "text_encoder1", "text_encoder2")


def same(before, module):
    return all(torch.equal(before[name], tensor) for name, tensor in module.state_dict().items())


def test_loss_falls_on_one_picture(tmp_path):
    _, recorder = train_sdxl(tmp_path, data=tiny_data(1), max_train_steps=40, learning_rate=3e-3)
    losses = recorder.losses
    assert sum(losses[-12:]) < 0.6 * sum(losses[:12])


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Ten steps of everything, with a state in the middle: (folder, trainer, recorder)."""
    folder = tmp_path_factory.mktemp("whole")
    values = {"max_train_steps": 10, "save_state": True, "save_every_n_steps": 5, "sample_at_first": True}
    prompts = folder / "prompts.txt"
    prompts.write_text("a (red:1.2) cat --w 64 --h 72 --s 2 --d 1\n", encoding="utf-8")
    trainer, recorder = train_sdxl(folder, **EVERYTHING, **values, sample_prompts=str(prompts))
    return folder, trainer, recorder


EVERYTHING = {
    "train_text_encoder": True,
    "learning_rate_te1": 1e-4,
    "train_batch_size": 2,
    "lr_scheduler": "cosine",
    "gradient_checkpointing": True,
}


def test_five_steps_and_five_more_are_ten(tmp_path, whole):
    folder, trainer, recorder = whole
    state = folder / "out" / "X-step00000005-state"
    family = tiny_sdxl(seed=1)
    _, again = train_sdxl(tmp_path, family, **EVERYTHING, max_train_steps=10, resume=str(state))
    assert again.losses == recorder.losses[5:]
    for part in PARTS:
        assert same(weights(getattr(trainer.family, part)), getattr(family, part)), part


def test_all_parts_have_moved_and_what_is_not_used_has_not(whole):
    _, trainer, recorder = whole
    assert all(norm > 0 for norm in trainer.movement.norms().values())
    assert set(trainer.movement.norms()) == set(PARTS)
    assert re.search(r"unet by \S+, text encoder 1 by \S+, text encoder 2 by", recorder.said)
    first = recorder.of("metric")[0].values
    assert (first["lr/unet"], first["lr/text_encoder1"], first["lr/text_encoder2"]) == (1e-3, 1e-4, 1e-3)
    untrained = tiny_sdxl().text_encoder1
    assert same(weights(untrained.final_layer_norm), trainer.family.text_encoder1.final_layer_norm)


def test_what_is_saved_loads_here_and_in_diffusers(tmp_path, whole):
    folder, trainer, _ = whole
    file = folder / "out" / "X.safetensors"
    header = safetensors_header(file)[1]
    ours = load(str(file))
    for part in PARTS:
        assert same(weights(getattr(trainer.family, part)), getattr(ours, part))
    again = ours.save(SaveRequest(tmp_path / "folder", "diffusers_safetensors"))
    pipeline = StableDiffusionXLPipeline.from_single_file(str(file), config=str(again), local_files_only=True)
    for theirs, own in (("unet", "unet"), ("text_encoder", PARTS[1]), ("text_encoder_2", PARTS[2])):
        assert same(weights(getattr(trainer.family, own)), getattr(pipeline, theirs)), theirs
    with torch.inference_mode():
        image = pipeline("a cat", num_inference_steps=2, height=64, width=64, output_type="np").images[0]
    assert image.shape == (64, 64, 3)
    assert header["ss_base_model_version"] == "sdxl_base_v1-0"
    assert header["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
    assert header["ss_learning_rate_te1"] == "0.0001"
    assert len(list((folder / "out" / "sample").iterdir())) == 1


def test_blocks_have_rates_of_their_own(tmp_path):
    rates = ["0"] * 23
    rates[0], rates[22] = "1e-3", "2e-3"
    family = tiny_sdxl()
    before = [[weight.clone() for weight in block] for block in family.unet_blocks()]
    _, recorder = train_sdxl(tmp_path, family, block_lr=",".join(rates), max_train_steps=2)
    moved = [
        number
        for number, pair in enumerate(zip(before, family.unet_blocks(), strict=True))
        if any(not torch.equal(first, second) for first, second in zip(*pair, strict=True))
    ]
    assert moved == [0, 22]
    told = {name: rate for name, rate in recorder.of("metric")[0].values.items() if name.startswith("lr/")}
    assert told == {"lr/unet.block00": 1e-3, "lr/unet.block22": 2e-3}


def test_a_text_encoder_with_a_rate_of_0_stays(tmp_path):
    family = tiny_sdxl()
    before = weights(family.text_encoder1)
    trainer, _ = train_sdxl(tmp_path, family, train_text_encoder=True, learning_rate_te1=0.0, max_train_steps=1)
    assert set(trainer.method.trained()) == {"unet", "text_encoder2"}
    assert same(before, family.text_encoder1)


@pytest.mark.parametrize("groups", [0, 4])
def test_steps_in_portions_are_whole_steps(tmp_path, groups):
    """Without clipping, which portions do gradient by gradient."""
    values = {"max_grad_norm": 0.0, "train_text_encoder": True, "max_train_steps": 2}
    portions = {"fused_optimizer_groups": groups} if groups else {"fused_backward_pass": True}
    one, first = train_sdxl(tmp_path, **values)
    two, second = train_sdxl(tmp_path, **values, **portions)
    assert second.losses == pytest.approx(first.losses, rel=1e-6)
    for part in PARTS:
        ends = weights(getattr(one.family, part))
        for name, tensor in getattr(two.family, part).state_dict().items():
            torch.testing.assert_close(tensor, ends[name], rtol=1e-5, atol=1e-7)
    if groups:
        assert groups <= len(two.learner.steps._portions) <= groups + 2


PROBE = """
import json, sys
import torch
from tests.train.tiny import tiny_data
from tests.networks.tiny_sdxl import train_sdxl_network
from tests.train.tiny_sdxl import train_sdxl

for train in (train_sdxl, train_sdxl_network):
    trainer, recorder = train(sys.argv[1], data=tiny_data(4, side_px=128), **json.loads(sys.argv[2]))
    if trainer.main:
        print("told", json.dumps(recorder.losses))
torch.distributed.destroy_process_group()
"""


def test_two_processes_are_one_with_twice_the_batch(tmp_path):
    """Of the whole model and of a network; the text encoders are trained in the first of the steps."""
    values = {"train_text_encoder": True, "max_train_steps": 3, "optimizer_type": "torch.optim.SGD"}
    values |= {"stop_text_encoder_training": 1, "gradient_accumulation_steps": 2, "learning_rate": 1e-2}
    (tmp_path / "probe.py").write_text(PROBE)
    environment = {**os.environ, "ACCELERATE_USE_CPU": "true", "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2"]
    command = [*launch, str(tmp_path / "probe.py"), str(tmp_path), json.dumps(values)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    two = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("told ")]
    for train, losses in zip((train_sdxl, train_sdxl_network), two, strict=True):
        _, one = train(tmp_path, data=tiny_data(4, side_px=128), train_batch_size=2, **values)
        assert losses == pytest.approx(one.losses, rel=1e-5)
