"""A moving average of the weights (EMA): its arithmetic, and what is made with it."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn

from sd_scripts.library.train.averages import Averages
from tests.train.tiny import train

AVERAGED = {"ema_decay": 0.9, "max_train_steps": 4, "learning_rate": 1e-2}


def linear(value):
    module = nn.Linear(2, 1, bias=False)
    nn.init.constant_(module.weight, value)
    return module


def test_the_average_by_hand():
    module = linear(1.0)
    averages = Averages({"unet": module}, 0.25)
    for value in (2.0, 3.0, 4.0):
        nn.init.constant_(module.weight, value)
        averages.update()
    # Decays 1/10, 2/11, and 3/12, which is 0.25 itself.
    average = 1.0
    for value, decay in ((2.0, 1 / 10), (3.0, 2 / 11), (4.0, 0.25)):
        average = decay * average + (1 - decay) * value
    with averages.in_place():
        assert module.weight.tolist() == [[pytest.approx(average)] * 2]
    assert module.weight.tolist() == [[4.0, 4.0]]


def test_weights_come_back_after_an_error_too():
    module = linear(1.0)
    averages = Averages({"unet": module}, 0.9)
    nn.init.constant_(module.weight, 5.0)
    with pytest.raises(RuntimeError), averages.in_place():
        raise RuntimeError
    assert module.weight.tolist() == [[5.0, 5.0]]


def test_halves_are_averaged_in_float32_elsewhere_if_asked():
    module = linear(1.0).to(torch.bfloat16)
    averages = Averages({"unet": module}, 0.9, "cpu")
    nn.init.constant_(module.weight, 1.0078125)
    averages.update()
    assert averages.state_dict()["unet.weight"].dtype == torch.float32
    with averages.in_place():
        assert module.weight.dtype == torch.bfloat16


def test_what_is_saved_is_the_average_and_training_is_the_same(tmp_path):
    for name in "abc":
        (tmp_path / name).mkdir()
    _, plain = train(tmp_path / "a", **AVERAGED | {"ema_decay": 0.0}, save_every_n_steps=1)
    _, recorder = train(tmp_path / "b", **AVERAGED)
    assert recorder.losses == plain.losses
    saved = [load_file(tmp_path / "a" / "out" / f"X-step{step:08d}.safetensors") for step in range(1, 5)]
    found = load_file(tmp_path / "b" / "out" / "X.safetensors")
    name = next(name for name in found if "diffusion_model.input_blocks.1.0.in_layers.2.weight" in name)
    # Of the first weights a tenth is left after the first step.
    first = load_file(tmp_path / "a" / "out" / "X-step00000001.safetensors")[name].double()
    assert not torch.equal(found[name], saved[-1][name]) and not torch.equal(found[name], first.float())
    steps = [tensors[name].double() for tensors in saved]
    base = _first_weights(tmp_path, name)
    average = base
    for number, weights in enumerate(steps):
        decay = min(0.9, (1 + number) / (10 + number))
        average = decay * average + (1 - decay) * weights
    torch.testing.assert_close(found[name].double(), average, rtol=1e-4, atol=1e-6)


def _first_weights(folder, name):
    train(folder / "c", **AVERAGED | {"ema_decay": 0.0, "learning_rate": 0.0, "max_train_steps": 1})
    return load_file(folder / "c" / "out" / "X.safetensors")[name].double()


def test_a_resumed_average_is_the_one_that_was_never_interrupted(tmp_path):
    values = AVERAGED | {"save_state": True, "save_every_n_steps": 2}
    train(tmp_path, **values)
    whole = load_file(tmp_path / "out" / "X.safetensors")
    train(tmp_path, **values, resume=str(tmp_path / "out" / "X-step00000002-state"))
    again = load_file(tmp_path / "out" / "X.safetensors")
    assert all(torch.equal(again[name], tensor) for name, tensor in whole.items())


def test_a_state_without_an_average_begins_one(tmp_path):
    values = AVERAGED | {"save_state": True, "save_every_n_steps": 2}
    train(tmp_path, **values | {"ema_decay": 0.0})
    train(tmp_path, **values, resume=str(tmp_path / "out" / "X-step00000002-state"))
    assert (tmp_path / "out" / "X-state" / "ema.safetensors").is_file()
