"""The formulas of an adapter, against the matrices written out."""

import pytest
import torch
from torch import nn

from sd_scripts.library.models.adaptable import Layer
from sd_scripts.library.networks.adapter import DoraAdapter, Dropouts, LoraAdapter
from sd_scripts.library.networks.plan import Size

LAYERS = {
    "linear": (lambda: nn.Linear(6, 5), (3, 7, 6)),
    "linear without bias": (lambda: nn.Linear(6, 5, bias=False), (3, 6)),
    "conv": (lambda: nn.Conv2d(4, 5, 3, stride=2, padding=1), (3, 4, 8, 8)),
    "conv of one pixel": (lambda: nn.Conv2d(4, 5, 1), (3, 4, 8, 8)),
}


def adapter_of(kind, name, dropouts=None, rank=2, alpha=3.0):
    """An adapter with random matrices on a random layer, and an input of it."""
    torch.manual_seed(0)
    make, shape = LAYERS[name]
    adapter = kind(Layer("key", make(), "unet"), Size(rank, alpha), dropouts or Dropouts())
    nn.init.normal_(adapter.lora_up.weight)
    return adapter, torch.randn(shape)


def dense(adapter):
    """alpha / r * B A as one matrix, written out."""
    up, down = adapter.lora_up.weight.flatten(1), adapter.lora_down.weight.flatten(1)
    return float(adapter.alpha) / adapter.rank * torch.einsum("or,ri->oi", up, down)


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("kind", [LoraAdapter, DoraAdapter])
def test_a_layer_with_its_adapter_is_the_merged_layer(kind, name):
    adapter, x = adapter_of(kind, name)
    weight = adapter.layer.weight.detach().clone()
    if kind is DoraAdapter:
        with torch.no_grad():
            adapter.dora_scale.mul_(1.5)
        turned = weight.flatten(1) + dense(adapter)
        expected = (adapter.dora_scale.flatten() / turned.norm(dim=1))[:, None] * turned
    else:
        expected = weight.flatten(1) + dense(adapter)
    torch.testing.assert_close(weight + adapter.weight_change(), expected.view_as(weight))
    merged = LAYERS[name][0]()
    merged.load_state_dict(adapter.layer.state_dict() | {"weight": expected.view_as(weight)})
    adapter.attach()
    torch.testing.assert_close(adapter.layer(x), merged(x), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", [LoraAdapter, DoraAdapter])
def test_a_new_adapter_changes_nothing(kind):
    torch.manual_seed(0)
    layer, x = nn.Linear(6, 5), torch.randn(3, 6)
    before = layer(x)
    kind(Layer("key", layer, "unet"), Size(2, 1.0), Dropouts()).attach()
    torch.testing.assert_close(layer(x), before)


@pytest.mark.parametrize("name", LAYERS)
def test_the_norm_needs_no_product_and_shrinking_is_of_the_product(name):
    adapter, _ = adapter_of(LoraAdapter, name)
    torch.testing.assert_close(adapter.norm(), dense(adapter).norm())
    before = dense(adapter).detach()
    adapter.shrink(torch.tensor(0.25))
    torch.testing.assert_close(dense(adapter), before * 0.25)


def test_half_the_strength_is_half_the_change():
    adapter, x = adapter_of(LoraAdapter, "linear")
    whole = adapter(x, torch.zeros(3, 7, 5))
    adapter.multiplier = 0.5
    torch.testing.assert_close(adapter(x, torch.zeros(3, 7, 5)), whole / 2)
    torch.testing.assert_close(adapter.weight_change(), dense(adapter) / 2)


def test_an_alpha_of_nothing_is_the_rank_and_a_loaded_one_counts():
    adapter, _ = adapter_of(LoraAdapter, "linear", alpha=0.0)
    assert (float(adapter.alpha), adapter.scale) == (2.0, 1.0)
    adapter.load_state_dict(adapter.state_dict() | {"alpha": torch.tensor(8.0)})
    assert adapter.scale == 4.0


def test_ranks_are_dropped_for_each_item_and_the_others_made_up_for_it():
    adapter, _ = adapter_of(LoraAdapter, "linear", Dropouts(ranks=0.5), rank=4)
    hidden, seen = [], []
    adapter.lora_up.register_forward_hook(lambda layer, inputs, output: hidden.append(inputs[0]))
    x = torch.randn(64, 7, 6)
    adapter.change(x)
    kept_BR = hidden[0][:, 0] != 0
    torch.testing.assert_close(hidden[0], adapter.lora_down(x) * 2 * kept_BR[:, None])
    assert 0.4 < kept_BR.float().mean() < 0.6 and len(kept_BR.unique(dim=0)) > 8
    adapter.eval()
    adapter.lora_up.register_forward_hook(lambda layer, inputs, output: seen.append(inputs[0]))
    adapter.change(x)
    torch.testing.assert_close(seen[0], adapter.lora_down(x))


def test_whole_adapters_are_dropped_and_keep_a_gradient():
    adapter, x = adapter_of(LoraAdapter, "conv", Dropouts(modules=0.5))
    changes = [adapter.change(x) for _ in range(20)]
    dropped = [change for change in changes if not change.any()]
    assert 3 < len(dropped) < 17
    dropped[0].sum().backward()
    assert adapter.lora_up.weight.grad is not None and not adapter.lora_up.weight.grad.any()


def test_neurons_are_dropped():
    adapter, x = adapter_of(LoraAdapter, "linear", Dropouts(neurons=0.5))
    assert not torch.equal(adapter.change(x), adapter.change(x))
    assert torch.equal(adapter.eval().change(x), adapter.change(x))
