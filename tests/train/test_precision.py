"""How weights are held: full_bf16, and 8 bits for what is not trained."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.io.checkpoints import open_checkpoint
from sd_scripts.library.train.device import loading_device
from sd_scripts.library.train.machine_checks import check_frozen
from sd_scripts.library.train.precision import FP8, Fp8Conv2d, Fp8Linear, store_in_fp8, to_fp8
from sd_scripts.options.training import PrecisionOptions
from tests.train.tiny import make_trainer, tiny_data, tiny_family, train, weights

BF16 = {"mixed_precision": "bf16", "full_bf16": True}


def test_full_bf16_holds_everything_in_bf16(tmp_path):
    trainer, recorder = train(tmp_path, data=tiny_data(1), max_train_steps=25, learning_rate=3e-3, text=True, **BF16)
    modules = (trainer.family.unet, trainer.family.text_encoder)
    assert {parameter.dtype for module in modules for parameter in module.parameters()} == {torch.bfloat16}
    memory = [t for state in trainer.learner.optimizer.state.values() for name, t in state.items() if name != "step"]
    assert memory and {tensor.dtype for tensor in memory} == {torch.bfloat16}
    assert sum(recorder.losses[-10:]) < 0.8 * sum(recorder.losses[:10])


def test_what_full_bf16_saves_is_bf16_but_for_the_vae(tmp_path):
    trainer, _ = train(tmp_path, max_train_steps=1, **BF16)
    saved = load_file(tmp_path / "out" / "X.safetensors")
    parts = {"model.diffusion_model.": torch.bfloat16, "cond_stage_model.transformer.text_model.enc": torch.bfloat16}
    parts["first_stage_model."] = trainer.family.vae_dtype
    for prefix, dtype in parts.items():
        assert {tensor.dtype for name, tensor in saved.items() if name.startswith(prefix)} == {dtype}


def test_full_bf16_goes_on_exactly(tmp_path):
    given = {**BF16, "max_train_steps": 4, "save_every_n_steps": 2, "save_state": True}
    _, whole = train(tmp_path, text=True, **given)
    state = str(tmp_path / "out" / "X-step00000002-state")
    _, resumed = train(tmp_path, tiny_family(1), text=True, **given, resume=state)
    assert resumed.losses == whole.losses[2:]


def test_fp8_rounds_to_the_nearest_and_stays_within_its_largest():
    # Three bits of fraction: from 16 to 32 the numbers are 2 apart. The largest is 448.
    weight = torch.tensor([17.2, 16.9, -1.0, 0.3, 1000.0, -500.0])
    assert to_fp8(weight).float().tolist() == [18.0, 16.0, -1.0, 0.3125, 448.0, -448.0]


LAYERS = {Fp8Linear: (nn.Linear(6, 5), (3, 6)), Fp8Conv2d: (nn.Conv2d(4, 5, 3, stride=2, padding=1), (2, 4, 8, 8))}


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("mixed", [False, True])
def test_an_fp8_layer_computes_with_its_rounded_weight_and_passes_gradients_on(kind, mixed):
    layer, shape = LAYERS[kind]
    layer = type(layer)(**_sizes(layer)).requires_grad_(False)
    plain = type(layer)(**_sizes(layer)).requires_grad_(False)
    plain.load_state_dict({"weight": to_fp8(layer.weight).float(), "bias": layer.bias})
    store_in_fp8(whole := nn.Sequential(layer), keep_exact=False)
    assert type(whole[0]) is kind and whole[0].weight.dtype == FP8 and whole[0].bias.dtype == torch.float32
    given = torch.randn(shape)
    results = []
    for module in (whole, plain):
        into = given.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=mixed):
            out = module(into)
        out.float().square().sum().backward()
        assert out.dtype == (torch.bfloat16 if mixed else torch.float32)
        results.append((out, into.grad))
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(*results, strict=True))


def _sizes(layer):
    if isinstance(layer, nn.Linear):
        return {"in_features": layer.in_features, "out_features": layer.out_features}
    return {"in_channels": 4, "out_channels": 5, "kernel_size": 3, "stride": 2, "padding": 1}


def test_the_backward_pass_keeps_no_wide_weight():
    layer = nn.Sequential(nn.Linear(64, 64, bias=False).requires_grad_(False))
    store_in_fp8(layer, keep_exact=False)
    out = layer(torch.randn(1, 64, requires_grad=True))
    # Two readings of what is saved: each is widened anew.
    saved = [out.grad_fn._saved_mat2, out.grad_fn._saved_mat2]
    assert saved[0].dtype == torch.float32 and saved[0].data_ptr() != saved[1].data_ptr()


def test_what_is_trained_is_not_rounded():
    layer = nn.Sequential(nn.Linear(2, 2))
    store_in_fp8(layer, keep_exact=True)
    assert type(layer[0]) is nn.Linear


def test_fp8_base_rounds_the_frozen_text_encoder_and_saves_it_unharmed(tmp_path):
    family = tiny_family()
    before = weights(family.text_encoder)
    trainer, eight = train(tmp_path, family, mixed_precision="bf16", fp8_base=True)
    held = {type(layer): layer.weight.dtype for layer in family.text_encoder.modules() if isinstance(layer, nn.Linear)}
    assert held == {Fp8Linear: FP8}
    assert not any(parameter.dtype == FP8 for parameter in family.unet.parameters())
    _, plain = train(tmp_path, mixed_precision="bf16")
    assert eight.losses != plain.losses and eight.losses == pytest.approx(plain.losses, rel=0.02)
    saved = load_file(tmp_path / "out" / "X.safetensors")
    train(tmp_path, family, mixed_precision="bf16", fp8_base=True, max_train_steps=1)
    for name, tensor in before.items():
        assert torch.equal(saved[f"cond_stage_model.transformer.text_model.{name}"], tensor)


def test_fp8_base_needs_a_part_that_is_not_trained():
    check_frozen(PrecisionOptions(fp8_base=True), ["text_encoder"])
    with pytest.raises(BadOption, match="every part of the model is trained") as caught:
        check_frozen(PrecisionOptions(fp8_base=True), [])
    assert caught.value.option == "fp8_base"


@pytest.mark.parametrize(("stays", "moved"), [({}, ["cpu"]), ({"lowram": True}, []), ({"highvram": True}, [])])
def test_where_the_vae_rests(tmp_path, stays, moved, monkeypatch):
    """Without a GPU all places are one, so that it is looked at what is asked of the VAE after its work."""
    trainer, _ = make_trainer(tmp_path, **stays)
    trainer._prepare()
    asked = []
    monkeypatch.setattr(trainer.family.vae, "to", asked.append)
    trainer.encoder.rest()
    assert asked == moved


def test_weights_are_read_onto_the_device_that_is_named(tmp_path):
    """Another device that every machine has: meta, which holds shapes alone."""
    path = make_sd1(tmp_path / "tiny.ckpt")
    tensors = open_checkpoint(path, torch.device("meta")).read("model.diffusion_model.")
    assert tensors and {tensor.device.type for tensor in tensors.values()} == {"meta"}
    assert loading_device(PrecisionOptions(lowram=True)).type == ("cuda" if torch.cuda.is_available() else "cpu")
