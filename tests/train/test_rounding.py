"""Rounding by lot: right on average, the same for the same seed and step, and only where it is asked for."""

import pytest
import torch

from sd_scripts.library.train import rounding
from sd_scripts.library.train.rounding import StochasticRounding, portions, round_by_lot
from tests.train.tiny import tiny_data, train, weights

HALF = {"mixed_precision": "bf16", "full_bf16": True}
ROUNDED = HALF | {"stochastic_rounding": True}


def by_lot(numbers, seed=0):
    rounded = numbers.clone()
    round_by_lot(rounded, torch.Generator().manual_seed(seed))
    return rounded


def test_numbers_become_one_of_their_neighbours_and_are_right_on_average():
    numbers = torch.full((40_000,), 1.0 + 2**-7 * 0.3)
    rounded = by_lot(numbers)
    assert set(rounded.tolist()) == {1.0, 1.0 + 2**-7}
    # Of 40,000 lots, 0.3 of them up: their share is within five times its deviation of 0.0023.
    assert float((rounded > 1).float().mean()) == pytest.approx(0.3, abs=0.0115)
    assert by_lot(-numbers).tolist() == (-rounded).tolist()


def test_what_bf16_has_and_what_is_no_number_stays():
    largest_nan = torch.tensor([0x7FFFFFFF, -1], dtype=torch.int32).view(torch.float32)
    exact = torch.randn(1000, generator=torch.Generator().manual_seed(1)).bfloat16().float()
    numbers = torch.cat([torch.tensor([0.0, -0.0, float("inf"), float("-inf"), float("nan")]), largest_nan, exact])
    torch.testing.assert_close(by_lot(numbers), numbers, rtol=0, atol=0, equal_nan=True)


@pytest.mark.parametrize("by_lot", [False, True])
def test_small_changes_are_not_lost(by_lot):
    weight = torch.nn.Parameter(torch.ones(20_000, dtype=torch.bfloat16))
    optimizer = torch.optim.AdamW([weight], lr=1e-4, weight_decay=0.0, fused=True)
    lots = StochasticRounding(optimizer, seed=1) if by_lot else None
    for step in range(20):
        if lots:
            lots.come_to(step)
        weight.grad = torch.full_like(weight, 0.5)
        optimizer.step()
    assert weight.dtype == weight.grad.dtype == torch.bfloat16 if not by_lot else weight.grad is None
    # In exact numbers Adam's way with a gradient that stays: 20 steps of the learning rate.
    mean = float(weight.detach().double().mean())
    assert mean == pytest.approx(1 - 20 * 1e-4, abs=1e-4) if by_lot else mean == 1.0


@pytest.mark.parametrize("optimizer", ["AdaFactor", "fused"])
def test_a_resumed_training_draws_the_same_lots(tmp_path, monkeypatch, optimizer):
    # Several portions.
    monkeypatch.setattr(rounding, "PORTION", 300_000)
    given = ROUNDED | {"max_train_steps": 4, "save_every_n_steps": 2, "save_state": True}
    given |= {"fused_backward_pass": True} if optimizer == "fused" else {"optimizer_type": optimizer}
    whole, recorder = train(tmp_path, data=tiny_data(3), **given)
    state = str(tmp_path / "out" / "X-step00000002-state")
    resumed, other = train(tmp_path, data=tiny_data(3), **given, resume=state)
    assert other.losses == recorder.losses[2:]
    for key, tensor in weights(whole.family.unet).items():
        assert tensor.dtype == torch.bfloat16 and torch.equal(tensor, resumed.family.unet.state_dict()[key]), key
    for memory in whole.learner.optimizer.state.values():
        assert memory.get("exp_avg", torch.zeros(1, dtype=torch.bfloat16)).dtype == torch.bfloat16


def test_another_seed_draws_other_lots(tmp_path):
    assert not torch.equal(by_lot(torch.full((99,), 1.001)), by_lot(torch.full((99,), 1.001), seed=1))


def test_portions_hold_all_in_order(monkeypatch):
    monkeypatch.setattr(rounding, "PORTION", 10)
    tensors = [torch.zeros(size) for size in (4, 4, 4, 30, 1)]
    assert [[one.numel() for one in some] for some in portions(tensors)] == [[4, 4], [4], [30], [1]]


def test_a_weight_whose_first_gradient_comes_later_is_rounded_as_well():
    """As with a module of a network that dropout left out."""
    first, later = (torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16)) for _ in range(2))
    optimizer = torch.optim.AdamW([first, later], lr=0.1, weight_decay=0.0, fused=True)
    lots = StochasticRounding(optimizer, seed=1)
    for step, given in enumerate([[first], [first, later]]):
        lots.come_to(step)
        for one in given:
            one.grad = torch.ones_like(one)
        optimizer.step()
    assert float(later.detach().float().mean()) == pytest.approx(0.9, abs=0.01)
    for memory in optimizer.state.values():
        assert memory["exp_avg"].dtype == memory["exp_avg_sq"].dtype == torch.bfloat16


class Counted:
    """Plays a parameter of a size, and counts who asks for it."""

    def __init__(self, size):
        self.size, self.asked = size, 0

    def numel(self):
        self.asked += 1
        return self.size


def test_many_small_parameters_are_cut_in_one_pass():
    many = [Counted(9_000 + 7 * number) for number in range(2000)]
    found = list(portions(many))
    assert [one for some in found for one in some] == many
    assert {one.asked for one in many} == {1}
    totals = [sum(one.size for one in some) for some in found]
    # Each is full: the first of the next would not have found room.
    following = [some[0].size for some in found[1:]]
    assert all(total <= rounding.PORTION for total in totals)
    assert all(total + size > rounding.PORTION for total, size in zip(totals[:-1], following, strict=True))
    assert not list(portions([]))


def test_what_an_optimizer_remembers_is_looked_through_twice_a_step(monkeypatch):
    parameters = [torch.nn.Parameter(torch.ones(8, dtype=torch.bfloat16)) for _ in range(5)]
    optimizer = torch.optim.AdamW(parameters, lr=0.1, fused=True)
    lots, looked, look = StochasticRounding(optimizer, seed=1), [], rounding._of_each_weight
    monkeypatch.setattr(rounding, "_of_each_weight", lambda one, state: looked.append(one) or look(one, state))
    for step in range(2):
        lots.come_to(step)
        for one in parameters:
            one.grad = torch.ones_like(one)
        looked.clear()
        optimizer.step()
        # Before it, to have it in float32, and after it, to round it.
        assert len(looked) == 2 * len(parameters)
