"""A base model in 8 or 4 bits: its size, its answers, and trainings beside it."""

import pytest
import torch
from torch import nn

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.network_rules import check_network
from sd_scripts.library.train.packed import check_packing, packed, store_packed
from tests.networks.tiny import make_network_trainer, network_options, saved, train_network
from tests.train.tiny import tiny_data

LOST = {8: 0.015, 4: 0.12}
"""The largest share of a weight's norm that packing may lose."""


def held_bytes(module):
    return sum(tensor.numel() * tensor.element_size() for tensor in (*module.parameters(), *module.buffers()))


@pytest.mark.parametrize("bits", LOST)
@pytest.mark.parametrize("layer", [nn.Linear(96, 70), nn.Conv2d(30, 50, 3, padding=1)])
def test_a_packed_layer_is_small_and_answers_nearly_the_same(layer, bits):
    torch.manual_seed(0)
    x = torch.randn(2, 96) if isinstance(layer, nn.Linear) else torch.randn(2, 30, 8, 8)
    module = nn.Sequential(type(layer)(**arguments(layer)))
    whole, weight, plain = held_bytes(module), module[0].weight.detach().clone(), module(x)
    store_packed(module, bits, torch.device("cpu"))
    assert not any(name.endswith("weight") for name in module.state_dict())
    assert held_bytes(module) < whole * bits / 32 * 1.25 + 1100, "its table and its bias beside the weight"
    assert (module[0].weight - weight).norm() < LOST[bits] * weight.norm()
    x.requires_grad_(True)
    answer = module(x)
    assert (answer - plain).norm() < 1.5 * LOST[bits] * plain.norm()
    answer.sum().backward()
    assert x.grad.abs().sum() > 0


def arguments(layer):
    if isinstance(layer, nn.Linear):
        return {"in_features": layer.in_features, "out_features": layer.out_features}
    names = ("in_channels", "out_channels", "kernel_size", "padding")
    return {name: getattr(layer, name) for name in names}


def test_four_bits_are_the_nearest_of_16_numbers():
    weight = torch.randn(3, 70)
    held = packed(weight, 4)
    flat = nn.functional.pad(weight.flatten(), (0, 46)).view(-1, 64)
    torch.testing.assert_close(held["scales"], flat.abs().amax(1))
    nearest = ((flat / flat.abs().amax(1, keepdim=True))[..., None] - held["code"]).abs().argmin(-1).flatten()
    pairs = held["packed"].long()
    assert torch.equal(torch.stack([pairs >> 4, pairs & 15], 1).flatten(), nearest)


@pytest.mark.parametrize(
    ("bits", "module", "words"),
    [
        (8, "networks.lora", ["dora_wd=True", "conv_dim=2"]),
        (4, "networks.oft", ["enable_conv=True"]),
        (4, "lycoris.kohya", ["algo=loha", "preset=attn-mlp"]),
    ],
)
def test_a_network_is_trained_beside_it(bits, module, words, tmp_path):
    given = {"network_module": module, "network_args": words, "max_train_steps": 2, "learning_rate": 1e-3}
    (tmp_path / "prompts.txt").write_text("a cat --w 64 --h 64 --s 1 --d 1\n")
    given |= {"mixed_precision": "bf16", "save_state": True, "output_name": "X"}
    _, plain = train_network(tmp_path, data=tiny_data(2), **given)
    whole = saved(tmp_path)
    given |= {"sample_prompts": str(tmp_path / "prompts.txt"), "sample_every_n_steps": 2}
    trainer, recorder = train_network(tmp_path, data=tiny_data(2), base_bits=bits, **given)
    assert recorder.losses != plain.losses
    assert recorder.losses == pytest.approx(plain.losses, rel={8: 0.01, 4: 0.1}[bits])
    assert "Moved since the start" in recorder.said and set(saved(tmp_path)) == set(whole)
    assert len(list((tmp_path / "out" / "sample").glob("*.png"))) == 1
    unet = trainer.family.unet
    assert unet.mid_block.attentions[0].proj_in.packed.dtype is torch.uint8
    assert trainer.family.text_encoder.encoder.layers[0].mlp.fc1.packed.dtype is torch.uint8


def test_what_does_not_go_together_is_refused(tmp_path):
    full = {"network_module": "lycoris.kohya", "network_args": ["algo=full"]}
    for values, sentence in (
        ({"fp8_base_unet": True, "mixed_precision": "bf16"}, "--base_bits and --fp8_base_unet are two ways"),
        (full, "algo=full trains copies"),
    ):
        with pytest.raises(BadOption, match=sentence):
            check_network(network_options(tmp_path, base_bits=4, in_json="x", **values))
    with pytest.raises(BadOption, match="Use --base_bits 8"):
        fp8 = {"fp8_base": True, "mixed_precision": "bf16"}
        check_network(network_options(tmp_path, in_json="x", network_module="lycoris.kohya", **fp8))
    with pytest.raises(BadOption, match="bitsandbytes cannot do that on this device, meta"):
        check_packing(4, torch.device("meta"))
    check_packing(4, torch.device("cpu"))
    trainer, _ = make_network_trainer(tmp_path, base_bits=8)
    trainer.method.check(trainer.family.adaptable().blocks)
