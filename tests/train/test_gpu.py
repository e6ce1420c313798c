"""What only a GPU can prove: half precision with scaled gradients. On a machine without one, this is skipped."""

import math

import pytest
import torch

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
