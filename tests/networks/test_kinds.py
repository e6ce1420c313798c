"""Kinds of networks: each learns a picture by heart, and its file comes back, merges, and says what it is."""

import pytest
import torch
from torch import nn

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.models.adaptable import Layer
from sd_scripts.library.networks.adapter import NestedAdapter
from sd_scripts.library.networks.oft import OftAdapter, Turning
from sd_scripts.library.networks.plan import Size
from tests.networks.test_adapter import LAYERS
from tests.networks.test_files import answers
from tests.networks.tiny import make_network_trainer, saved, train_network
from tests.train.tiny import tiny_data, tiny_family
from tests.train.tiny_sdxl import tiny_sdxl

RANKS = {"network_dim": 8, "network_alpha": 8}
KINDS = {
    "networks.lora_fa": RANKS | {"network_args": ["conv_dim=8", "conv_alpha=8"], "learning_rate": 3e-2},
    "networks.dylora": RANKS | {"network_args": ["conv_dim=8", "unit=4"], "learning_rate": 1e-2},
    "networks.oft": {
        "network_alpha": 1e-1,
        "network_args": ["enable_all_linear=True", "enable_conv=True"],
        "learning_rate": 3e-2,
        "max_train_steps": 10,
    },
}
BY_HEART = {"max_train_steps": 16, "min_timestep": 900, "max_timestep": 901}


@pytest.mark.parametrize("kind", KINDS)
def test_it_learns_a_picture_by_heart_and_its_file_comes_back(kind, tmp_path):
    plain = tiny_family()
    trainer, recorder = train_network(tmp_path, data=tiny_data(1), network_module=kind, **BY_HEART | KINDS[kind])
    first, last = recorder.losses[0], sum(recorder.losses[-4:]) / 4
    assert first > 0.9 and last < 0.8, (first, last)
    trainer.method.network.eval()
    file = str(tmp_path / "out" / "X.safetensors")
    merged, _ = make_network_trainer(tmp_path, network_module=kind, base_weights=[file])
    merged.method.prepare(merged.family, 1)
    again, _ = make_network_trainer(tmp_path, network_module=kind, network_weights=file, dim_from_weights=True)
    again.method.prepare(again.family, 1)
    again.method.network.eval()
    tokens_BL = torch.tensor([[49406, 320, 736, 2368] + [49407] * 73])
    before = answers(plain.unet, plain.text_encoder, tokens_BL)
    ours = answers(trainer.family.unet, trainer.family.text_encoder, tokens_BL)
    assert (ours[1] - before[1]).norm() > 0.01 * before[1].norm()
    for other in (merged.family, again.family):
        for own, theirs in zip(ours, answers(other.unet, other.text_encoder, tokens_BL), strict=True):
            torch.testing.assert_close(own, theirs, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("name", LAYERS)
def test_oft_turns_the_rows_of_a_weight_block_by_block(name):
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    layer = make()
    channels = len(layer.weight)
    adapter, x = OftAdapter(Layer("key", layer, "unet"), Turning(1, 1.0)), torch.randn(shape)
    plain = layer(x)
    adapter.attach()
    assert torch.equal(layer(x), plain), "a new one changes nothing"
    nn.init.normal_(adapter.oft_blocks, std=0.3)
    p = adapter.oft_blocks[0].detach()
    q, identity = p - p.T, torch.eye(channels)
    r = (identity + q) @ torch.linalg.inv(identity - q)
    torch.testing.assert_close(r @ r.T, identity, msg="it turns, and stretches nothing")
    expected = (r.T @ layer.weight.flatten(1)).view_as(layer.weight)
    torch.testing.assert_close(layer.weight + adapter.weight_change(), expected)
    merged = make()
    merged.load_state_dict(layer.state_dict() | {"weight": expected})
    torch.testing.assert_close(layer(x), merged(x), rtol=1e-4, atol=1e-5)


def test_oft_turns_no_further_than_its_limit():
    adapter = OftAdapter(Layer("key", nn.Linear(6, 8), "unet"), Turning(2, 0.01))
    nn.init.normal_(adapter.oft_blocks)
    r = adapter._turn() + torch.eye(4)
    q = torch.linalg.solve(r + torch.eye(4), r - torch.eye(4))
    torch.testing.assert_close(q.norm(), torch.tensor(0.01 * 8), rtol=1e-3, atol=1e-4)


def test_the_first_ranks_of_dylora_are_what_was_trained():
    torch.manual_seed(0)
    adapter, x = (
        NestedAdapter(Layer("key", nn.Conv2d(4, 5, 3, padding=1), "unet"), Size(6, 3.0), 2),
        torch.randn(2, 4, 8, 8),
    )
    nn.init.normal_(adapter.lora_up.weight)
    cut = {r: adapter_of_ranks(adapter, r).change(x) for r in (2, 4, 6)}
    seen = set()
    for _ in range(12):
        adapter.zero_grad()
        change = adapter.change(x)
        r = next(r for r, expected in cut.items() if torch.allclose(change, expected, atol=1e-5))
        change.square().sum().backward()
        learns = adapter.lora_up.weight.grad.flatten(1).abs().sum(0) > 0
        assert learns.tolist() == [r - 2 <= i < r for i in range(6)]
        seen.add(r)
    assert seen == {2, 4, 6}
    torch.testing.assert_close(adapter.eval().change(x), cut[6])


def adapter_of_ranks(adapter, r):
    """What a file cut to its first ranks gives, its alpha kept."""
    made = NestedAdapter(Layer("key", adapter.layer, "unet"), Size(r, float(adapter.alpha)), 1).eval()
    made.lora_down.weight.data = adapter.lora_down.weight.data[:r]
    made.lora_up.weight.data = adapter.lora_up.weight.data[:, :r]
    return made


def test_lora_fa_keeps_its_first_matrices(tmp_path):
    trainer, _ = make_network_trainer(tmp_path, network_module="networks.lora_fa", network_dim=64)
    trainer.method.prepare(trainer.family, 1)
    names = [name for name, one in trainer.method.network.named_parameters() if one.requires_grad]
    assert names and all(name.endswith("lora_up.weight") for name in names)
    groups = trainer.method.parameter_groups(1e-3)
    assert sum(len(group["params"]) for group in groups) == len(names)
    down = trainer.method.network.lora_unet_mid_block_attentions_0_transformer_blocks_0_ff_net_2.lora_down.weight
    assert down.std() == pytest.approx((2 / (down.shape[1] + 64)) ** 0.5, rel=0.05)


def test_oft_has_the_names_of_its_files(tmp_path):
    given = {"network_module": "networks.oft", "network_dim": 2, "network_alpha": 1e-2, "max_train_steps": 1}
    for words in (None, ["enable_conv=True"]):
        train_network(tmp_path, tiny_sdxl(), tiny_data(1), **given, network_args=words)
        tensors = saved(tmp_path)
        key = "oft_unet_middle_block_1_transformer_blocks_0_attn1_to_out_0"
        assert tensors[f"{key}.oft_blocks"].shape[0] == 2 and float(tensors[f"{key}.alpha"]) == pytest.approx(0.01)
        assert all("_attn" in name or "transformer" not in name for name in tensors)
        assert any("in_layers_2" in name for name in tensors) is (words is not None)


SENTENCES = {
    "networks.oft": {
        ("network_dim", 3): "channels, which it does not divide",
        ("network_alpha", 0): "--network_alpha 0 lets networks.oft turn nothing",
        ("network_dropout", 0.1): "networks.oft has no dropout: leave --network_dropout out",
        ("network_args", ("conv_dim=4",)): "networks.oft has no such argument. It has enable_all_linear,",
    },
    "networks.dylora": {
        ("network_args", ("unit=3",)): "unit=3: --network_dim 4 is no multiple of it",
        ("network_args", ("conv_dim=2",)): "networks.dylora has one rank for all: write conv_dim=4",
    },
    "networks.lora_fa": {
        ("network_args", ("dora_wd=True",)): "networks.lora_fa has no such argument",
        ("network_args", ("block_dims=1,2",)): "block_dims has 2 numbers, and there are 25 blocks",
    },
}
CASES = [(kind, *value, sentence) for kind, cases in SENTENCES.items() for value, sentence in cases.items()]


@pytest.mark.parametrize(("kind", "option", "value", "sentence"), CASES)
def test_what_is_wrong_is_one_sentence(kind, option, value, sentence, tmp_path):
    value = list(value) if isinstance(value, tuple) else value
    trainer, _ = make_network_trainer(tmp_path, network_module=kind, **{option: value})
    with pytest.raises(BadOption) as caught:
        trainer.method.check(trainer.family.adaptable().blocks)
        trainer.method.prepare(trainer.family, 1)
    assert caught.value.option == option and sentence in str(caught.value)


def test_a_file_of_another_kind_is_refused(tmp_path):
    train_network(tmp_path, data=tiny_data(1), network_module="networks.lora_fa", max_train_steps=1)
    given = {"network_module": "networks.oft", "network_weights": str(tmp_path / "out" / "X.safetensors")}
    trainer, _ = make_network_trainer(tmp_path, **given)
    with pytest.raises(BadFile, match="is no OFT file: it has no tensor named ...oft_blocks"):
        trainer.method.prepare(trainer.family, 1)
