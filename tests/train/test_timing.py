"""How long the parts of a step take: their sum is the step, however weights change."""

import itertools

import pytest
import torch

from sd_scripts.library.events import STEP_PARTS
from sd_scripts.library.train import timing
from sd_scripts.library.train.timing import StepClock
from tests.train.tiny import train


@pytest.fixture
def clock(monkeypatch):
    """A clock on which a second passes with each look at it."""
    ticks = itertools.count()
    monkeypatch.setattr(timing.time, "perf_counter", lambda: float(next(ticks)))
    return StepClock(torch.device("cpu"))


def test_parts_that_come_again_are_added_up(clock):
    clock.start("data")
    for part in ("forward", "backward", "forward", "backward", "optimizer"):
        clock.then(part)
    assert clock.stop().seconds() == {"data": 1, "forward": 2, "backward": 2, "optimizer": 1}


def test_a_step_without_pictures_leaves_nothing_behind(clock):
    clock.start("data")
    clock.start("data")
    first = clock.stop()
    clock.start("forward")
    assert (first.seconds(), clock.stop().seconds()) == ({"data": 1}, {"forward": 1})


@pytest.mark.parametrize("ways", [{}, {"gradient_accumulation_steps": 2}], ids=["whole", "accumulated"])
def test_a_step_is_the_sum_of_its_parts(tmp_path, ways):
    _, recorder = train(tmp_path, **ways)
    for metric in recorder.of("metric"):
        parts = [metric.values[part] for part in STEP_PARTS]
        assert min(parts) > 0 and metric.values["step_s"] == pytest.approx(sum(parts))


def test_weights_that_change_in_the_backward_pass_have_no_time_of_their_own(tmp_path):
    _, recorder = train(tmp_path, fused_backward_pass=True)
    first = recorder.of("metric")[0].values
    assert first.keys() & STEP_PARTS == set(STEP_PARTS) - {"optimizer_s"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="asks the GPU's own clock")
def test_the_device_is_asked_and_not_the_host():
    big_NN = torch.randn(4096, 4096, device="cuda")
    clock = StepClock(big_NN.device)
    clock.start("forward")
    for _ in range(20):
        big_NN = big_NN @ big_NN / 4096
    clock.then("backward")
    seconds = clock.stop().seconds()
    # 20 products of 4096 cubed are 2.7e12 operations: no device does them in the time that the host takes to ask.
    assert seconds["forward"] > 10 * seconds["backward"] > 0
