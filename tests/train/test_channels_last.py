"""Channels last: the same training in another order in memory, which states and files do not show."""

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.library.train.optimizers import as_weights_lie
from tests.train.tiny import tiny_data, train

LAST = {"opt_channels_last": True}
STATES = {"max_train_steps": 4, "save_every_n_steps": 2, "save_state": True}


def lies_last(tensor):
    return tensor.is_contiguous(memory_format=torch.channels_last) and not tensor.is_contiguous()


def test_it_goes_on_from_states_with_and_without_it(tmp_path):
    whole, recorder = train(tmp_path, data=tiny_data(3), **STATES, **LAST)
    kernels = [one for one in whole.family.unet.parameters() if one.ndim == 4 and one.shape[2] > 1]
    assert kernels and all(
        lies_last(one) and lies_last(whole.learner.optimizer.state[one]["exp_avg"]) for one in kernels
    )
    state = str(tmp_path / "out" / "X-step00000002-state")
    file = tmp_path / "out" / "X.safetensors"
    saved = load_file(file)
    _, same = train(tmp_path, data=tiny_data(3), **STATES, **LAST, resume=state)
    assert same.losses == recorder.losses[2:]
    # To the last digit, as without it the sums of convolutions are others.
    assert all(torch.equal(tensor, saved[name]) for name, tensor in load_file(file).items())
    other, plain = train(tmp_path, data=tiny_data(3), **STATES, resume=state)
    assert plain.losses == pytest.approx(recorder.losses[2:], rel=1e-4)
    memory = other.learner.optimizer.state
    assert all(memory[one]["exp_avg"].stride() == one.stride() for one in other.family.unet.parameters())


def test_memory_in_8_bits_in_another_order_is_refused():
    weight = torch.nn.Parameter(torch.zeros(2, 3, 4, 5))
    optimizer = torch.optim.SGD([weight])
    turned = torch.zeros(2, 3, 4, 5, dtype=torch.uint8).to(memory_format=torch.channels_last)
    optimizer.state[weight] = {"state1": turned}
    with pytest.raises(ValueError, match="state1 lies in another order than its weights"):
        as_weights_lie(optimizer)
