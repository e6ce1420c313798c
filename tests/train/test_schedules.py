"""Learning rate schedules against numbers worked out by hand."""

import pytest

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.schedules import CURVES, make_schedule
from sd_scripts.options.optimizer import SCHEDULES, ScheduleOptions
from tests.train.tiny import train

HALF_ROOT = 2**-0.5


def test_the_names_that_are_offered_are_those_that_are_known():
    assert tuple(CURVES) == SCHEDULES


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, [1, 1, 1, 1, 1]),
        ({"lr_warmup_steps": 2}, [0, 0.5, 1, 1, 1]),
        ({"lr_scheduler": "constant_with_warmup", "lr_warmup_steps": 4}, [0, 0.25, 0.5, 0.75, 1]),
        ({"lr_scheduler": "linear"}, [1, 0.75, 0.5, 0.25, 0]),
        ({"lr_scheduler": "LINEAR", "lr_warmup_steps": 0.5}, [0, 0.5, 1, 0.5, 0]),
        ({"lr_scheduler": "cosine"}, [1, 0.5 + HALF_ROOT / 2, 0.5, 0.5 - HALF_ROOT / 2, 0]),
        ({"lr_scheduler": "cosine_with_restarts", "lr_scheduler_num_cycles": 2}, [1, 0.5, 1, 0.5, 0]),
        ({"lr_scheduler": "polynomial", "lr_scheduler_power": 2}, [1, 0.5625, 0.25, 0.0625, 0]),
    ],
)
def test_factors(options, expected):
    schedule = make_schedule(ScheduleOptions(**options), total_steps=4)
    assert [schedule(step) for step in range(5)] == pytest.approx(expected)


def test_a_wrong_name_is_told():
    with pytest.raises(BadOption, match="Did you mean cosine?"):
        make_schedule(ScheduleOptions(lr_scheduler="cosin"), 10)
    with pytest.raises(BadOption, match="Use constant, constant_with_warmup, linear"):
        make_schedule(ScheduleOptions(lr_scheduler="zzz"), 10)


def test_the_rate_follows_the_schedule(tmp_path):
    _, recorder = train(tmp_path, lr_scheduler="linear", lr_warmup_steps=1, max_train_steps=4, learning_rate=0.003)
    rates = [event.values["lr/unet"] for event in recorder.of("metric")]
    assert rates == pytest.approx([0, 0.003, 0.002, 0.001])


def test_constant_with_warmup_is_said(tmp_path):
    _, recorder = train(tmp_path, lr_warmup_steps=2)
    assert "constant with 2 warm-up steps works as constant_with_warmup" in recorder.said
    _, recorder = train(tmp_path, lr_warmup_steps=3, lr_scheduler="linear")
    assert "never ends" in recorder.said
