"""What only a GPU can prove: scaled gradients, memory, its compiler. On a machine without one, this is skipped."""

import math

import pytest
import torch

from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.models.sd import load
from sd_scripts.library.train.device import loading_device
from sd_scripts.options.training import PrecisionOptions
from tests.train.tiny import tiny_data, train

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="There is no GPU.")
HALVES = {
    "fp16": {"mixed_precision": "fp16"},
    "bf16": {"mixed_precision": "bf16"},
    "full fp16": {"mixed_precision": "fp16", "full_fp16": True, "learning_rate": 1e-4},
}


def test_what_is_replaced_in_the_scaler_is_there():
    """torch may rename what full_fp16 changes."""
    assert callable(torch.amp.GradScaler._unscale_grads_)


@needs_gpu
@pytest.mark.parametrize("kind", HALVES)
def test_half_precision_learns(tmp_path, kind):
    _, recorder = train(tmp_path, data=tiny_data(1), max_train_steps=60, **HALVES[kind])
    assert all(math.isfinite(loss) for loss in recorder.losses)
    assert sum(recorder.losses[-10:]) < sum(recorder.losses[:10])


@needs_gpu
def test_full_fp16_keeps_its_weights_in_half(tmp_path):
    trainer, _ = train(tmp_path, max_train_steps=2, **HALVES["full fp16"])
    assert {parameter.dtype for parameter in trainer.family.unet.parameters()} == {torch.float16}


@needs_gpu
def test_the_scale_goes_on_with_a_state(tmp_path):
    whole = {"mixed_precision": "fp16", "max_train_steps": 6, "save_state": True, "save_every_n_steps": 3}
    trainer, _ = train(tmp_path, **whole)
    state = tmp_path / "out" / "X-step00000003-state"
    again, _ = train(tmp_path, **whole, resume=str(state))
    assert again.accelerator.scaler.state_dict() == trainer.accelerator.scaler.state_dict()


@needs_gpu
@pytest.mark.parametrize("kind", ["full bf16", "fused", "fp8"])
def test_ways_to_save_memory_learn_and_save_it(tmp_path, kind):
    ways = {
        "full bf16": {"mixed_precision": "bf16", "full_bf16": True, "learning_rate": 3e-3},
        "fused": {"mixed_precision": "bf16", "fused_backward_pass": True},
        "fp8": {"mixed_precision": "bf16", "fp8_base": True},
    }
    peaks = []
    for values in ({"mixed_precision": "bf16"}, ways[kind]):
        torch.cuda.reset_peak_memory_stats()
        _, recorder = train(tmp_path, data=tiny_data(1), max_train_steps=40, **values)
        peaks.append(torch.cuda.max_memory_allocated())
    assert sum(recorder.losses[-10:]) < sum(recorder.losses[:10])
    assert peaks[1] < peaks[0]


@needs_gpu
def test_inductor_trains_as_plain_code_does(tmp_path):
    _, plain = train(tmp_path)
    _, compiled = train(tmp_path, torch_compile=True)
    assert compiled.losses == pytest.approx(plain.losses, rel=1e-3)


@needs_gpu
def test_lowram_reads_the_weights_onto_the_gpu(tmp_path):
    device = loading_device(PrecisionOptions(lowram=True))
    family = load(str(make_sd1(tmp_path / "tiny.safetensors")), device=device)
    modules = (family.unet, family.text_encoder, family.vae)
    assert {tensor.device for module in modules for tensor in module.parameters()} == {torch.device("cuda", 0)}
    assert {tensor.device.type for tensor in family.rest.values()} <= {"cpu"}


@needs_gpu
@pytest.mark.parametrize(("stays", "where"), [({}, "cpu"), ({"highvram": True}, "cuda"), ({"lowram": True}, "cuda")])
def test_where_the_vae_rests(tmp_path, stays, where):
    trainer, _ = train(tmp_path, data=tiny_data(2, latents=False), cache_latents=True, max_train_steps=1, **stays)
    assert next(trainer.family.vae.parameters()).device.type == where
