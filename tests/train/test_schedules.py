"""Schedules in a training: the rates that are logged follow the curve, the class, or the optimizer's own way."""

import pytest
import torch

from sd_scripts.library.errors import BadOption, NotInstalled, TrainingFailed
from sd_scripts.library.train.schedules import advance, make_scheduler
from sd_scripts.options.optimizer import ScheduleOptions
from tests.train.tiny import train


def rates(recorder, part="unet"):
    return [event.values[f"lr/{part}"] for event in recorder.of("metric")]


def test_the_rate_follows_the_schedule(tmp_path):
    _, recorder = train(tmp_path, lr_scheduler="linear", lr_warmup_steps=1, max_train_steps=4, learning_rate=0.003)
    assert rates(recorder) == pytest.approx([0, 0.003, 0.002, 0.001])


def test_constant_with_warmup_is_said(tmp_path):
    _, recorder = train(tmp_path, lr_warmup_steps=2)
    assert "constant with 2 warm-up steps works as constant_with_warmup" in recorder.said
    _, recorder = train(tmp_path, lr_warmup_steps=3, lr_scheduler="linear")
    assert "never ends" in recorder.said


@pytest.mark.parametrize(
    ("name", "arguments", "expected"),
    [
        ("StepLR", ["step_size=2", "gamma=0.5"], [1e-3, 1e-3, 5e-4, 5e-4]),
        ("torch.optim.lr_scheduler.ExponentialLR", ["gamma=0.1"], [1e-3, 1e-4, 1e-5, 1e-6]),
        ("transformers.get_linear_schedule_with_warmup", ["num_warmup_steps=2", "num_training_steps=4"],
         [0, 5e-4, 1e-3, 5e-4]),
        ("pytorch_optimizer.REXScheduler", ["total_steps=4", "max_lr=1e-3"], None),
    ],
)  # fmt: skip
def test_a_class_steps_once_a_step_and_goes_on_exactly(tmp_path, name, arguments, expected):
    given = {"lr_scheduler_type": name, "lr_scheduler_args": arguments, "max_train_steps": 4}
    given |= {"save_every_n_steps": 2, "gradient_accumulation_steps": 2}
    whole, recorder = train(tmp_path, save_state=True, **given)
    assert expected is None or rates(recorder) == pytest.approx(expected)
    assert len(set(rates(recorder))) > 1
    resumed, again = train(tmp_path, resume=str(tmp_path / "out" / "X-step00000002-state"), **given)
    assert rates(again) == rates(recorder)[2:]
    assert again.losses == recorder.losses[2:]
    assert "goes on from the state, with the learning rates that stand there" in again.said


def test_a_state_of_another_class_is_refused(tmp_path):
    train(tmp_path, save_state=True, lr_scheduler_type="ConstantLR")
    state = {"resume": str(tmp_path / "out" / "X-state"), "max_train_steps": 4}
    with pytest.raises(BadOption, match="ConstantLR, and this run's is torch.optim.lr_scheduler.StepLR"):
        train(tmp_path, lr_scheduler_type="StepLR", lr_scheduler_args=["step_size=1"], **state)


def make(name, *arguments):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.1)
    return make_scheduler(ScheduleOptions(lr_scheduler_type=name, lr_scheduler_args=list(arguments)), optimizer)


@pytest.mark.parametrize(
    ("name", "arguments", "option", "sentence"),
    [
        ("Nope", (), "lr_scheduler_type", "torch.optim.lr_scheduler has no class Nope"),
        ("torch.pi", (), "lr_scheduler_type", "is no class of a scheduler"),
        ("StepLR", (), "lr_scheduler_args", "StepLR needs the argument step_size"),
        ("StepLR", ("step=2",), "lr_scheduler_args", "StepLR has no argument step. It takes step_size, gamma"),
        ("OneCycleLR", ("max_lr=1",), "lr_scheduler_args", "OneCycleLR does not take these arguments"),
        ("ReduceLROnPlateau", (), "lr_scheduler_type", "waits for a measured quality in each step"),
        ("LambdaLR", ("lr_lambda=3",), "lr_scheduler_args", "LambdaLR does not take these arguments"),
        ("pytorch_optimizer.CosineScheduler", ("t_max=4", "max_lr=1.0"), "lr_scheduler_type", "state can be saved"),
        ("torch.Size", (), "lr_scheduler_type", "torch.Size is no class of a scheduler"),
    ],
)
def test_classes_that_do_not_do(name, arguments, option, sentence):
    with pytest.raises(BadOption) as caught:
        make(name, *arguments)
    assert sentence in str(caught.value)
    assert caught.value.option == option


def test_a_missing_package_is_named():
    with pytest.raises(NotInstalled, match="needs the package no_such_package.*leave --lr_scheduler_type out"):
        make("no_such_package.Best")


@pytest.mark.filterwarnings("ignore:Detected call of `lr_scheduler.step:UserWarning")
def test_a_class_that_ends_too_early_is_named():
    scheduler = make("OneCycleLR", "max_lr=0.1", "total_steps=2")
    with pytest.raises(TrainingFailed, match="OneCycleLR cannot go on: .*Change --lr_scheduler_args"):
        for _ in range(3):
            advance(scheduler)
