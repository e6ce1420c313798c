"""Optimizers: each takes a step; what is wrong is one sentence."""

import pytest
import torch

from sd_scripts.library.errors import BadOption, NotInstalled
from sd_scripts.library.io.checkpoints import open_checkpoint
from sd_scripts.library.train.arguments import read_arguments
from sd_scripts.library.train.optimizers import make_optimizer, optimizer_name
from sd_scripts.options.optimizer import OptimizerOptions
from tests.train.tiny import train

# tests/train/test_every_optimizer.py has them all, over a few weights.
NAMES = ["", "adamw8bit", "ADAFACTOR", "SGD", "came", "torch.optim.RAdam"]


@pytest.mark.parametrize("name", NAMES)
def test_each_takes_steps(tmp_path, name):
    trainer, recorder = train(tmp_path, optimizer_type=name)
    assert trainer.movement.norms()["unet"] > 0
    assert len(recorder.losses) == 3


def test_adafactor_sets_its_own_rates(tmp_path):
    _, recorder = train(tmp_path, optimizer_type="AdaFactor")
    assert all(event.values["lr/unet"] > 0 for event in recorder.of("metric"))
    fixed = {"optimizer_args": ["relative_step=False", "scale_parameter=False"]}
    _, recorder = train(tmp_path, optimizer_type="AdaFactor", **fixed)
    assert recorder.of("metric")[-1].values["lr/unet"] == pytest.approx(1e-3)


def test_short_flags():
    assert optimizer_name(OptimizerOptions(use_8bit_adam=True)) == "AdamW8bit"
    assert optimizer_name(OptimizerOptions(use_lion_optimizer=True, optimizer_type="lion")) == "Lion"
    with pytest.raises(BadOption, match="--use_8bit_adam means AdamW8bit, but --optimizer_type says Lion"):
        optimizer_name(OptimizerOptions(use_8bit_adam=True, optimizer_type="Lion"))
    with pytest.raises(BadOption, match="name two optimizers"):
        optimizer_name(OptimizerOptions(use_8bit_adam=True, use_lion_optimizer=True))


def test_arguments_are_read():
    words = ["weight_decay=0.01", "betas=0.9,0.99", "amsgrad=True", "eps=None", "name='x'", "n=false"]
    expected = {"weight_decay": 0.01, "betas": (0.9, 0.99), "amsgrad": True, "eps": None, "name": "x", "n": False}
    assert read_arguments(words, "optimizer_args") == expected
    rules = read_arguments(["step_rules=1:10,0.1", "T_max=5"], "lr_scheduler_args", texts=("step_rules",))
    assert rules == {"step_rules": "1:10,0.1", "T_max": 5}
    assert read_arguments(["step_rules='1:10,0.1'"], "lr_scheduler_args", ("step_rules",))["step_rules"] == "1:10,0.1"


def make(**values):
    groups = [{"params": [torch.nn.Parameter(torch.ones(2))], "lr": 1.0, "name": "unet"}]
    return make_optimizer(groups, OptimizerOptions(**values))


def test_arguments_reach_the_optimizer():
    optimizer = make(optimizer_args=["weight_decay=0.5", "betas=0.8,0.9"])
    assert optimizer.param_groups[0]["weight_decay"] == 0.5
    assert optimizer.param_groups[0]["betas"] == (0.8, 0.9)
    assert not make(optimizer_type="SGD").param_groups[0]["nesterov"]
    assert make(optimizer_type="SGDNesterov").param_groups[0]["momentum"] == 0.9
    assert make(optimizer_type="SGDNesterov8bit", optimizer_args=["momentum=0.5"]).param_groups[0]["betas"][0] == 0.5


@pytest.mark.parametrize(
    ("values", "option", "sentence"),
    [
        ({"optimizer_type": "AdamW8"}, "optimizer_type", "Did you mean AdamW8bit or PagedAdamW8bit"),
        ({"optimizer_type": "zzzz"}, "optimizer_type", "Use AdamW, Lion, AdaFactor, SGDNesterov, another of torch"),
        ({"optimizer_type": "torch.optim.Nope"}, "optimizer_type", "torch.optim has no class Nope"),
        ({"optimizer_type": "torch.nn.Linear"}, "optimizer_type", "is no class of a torch optimizer"),
        ({"optimizer_args": ["weight_decay"]}, "optimizer_args", "write name=value"),
        ({"optimizer_args": ["betas=__import__('os')"]}, "optimizer_args", "is no number, list, True or False"),
        ({"optimizer_args": ["decay=1"]}, "optimizer_args", "AdamW has no argument decay. It takes betas"),
        ({"optimizer_args": ["lr=1"]}, "optimizer_args", "AdamW has no argument lr"),
        ({"optimizer_type": "Ranger21"}, "optimizer_args", "Ranger21 needs the argument num_iterations"),
        ({"optimizer_type": "pytorch_optimizer.SAM"}, "optimizer_args", "needs the argument base_optimizer"),
        ({"optimizer_type": "transformers.optimization.Adafactor"}, "optimizer_args", "Cannot combine manual"),
        ({"optimizer_args": ["betas=5,5"]}, "optimizer_args", "AdamW does not take these arguments"),
    ],
)
def test_mistakes(values, option, sentence):
    with pytest.raises(BadOption, match=sentence) as caught:
        make(**values)
    assert caught.value.option == option


def test_a_missing_package_is_named():
    with pytest.raises(NotInstalled, match="needs the package no_such_package, which is not installed"):
        make(optimizer_type="no_such_package.Best")


@pytest.mark.parametrize("name", ["AdamWScheduleFree", "pytorch_optimizer.ScheduleFreeSGD"])
def test_schedule_free_saves_the_averaged_weights(tmp_path, name):
    """It trains weights other than those it gives, and steps only after its own train()."""
    given = {"optimizer_type": name, "max_train_steps": 4, "save_every_n_steps": 2}
    trainer, recorder = train(tmp_path, save_state=True, **given)
    assert len(recorder.losses) == 4
    assert not trainer.learner.optimizer.param_groups[0]["train_mode"]
    saved = open_checkpoint(tmp_path / "out" / "X.safetensors").read("model.diffusion_model.")
    assert torch.equal(saved["time_embed.0.weight"], trainer.family.unet.time_embedding.linear_1.weight.detach())
    _, resumed = train(tmp_path, resume=str(tmp_path / "out" / "X-step00000002-state"), **given)
    assert resumed.losses == recorder.losses[2:]


def test_what_d_adaptation_finds_is_logged(tmp_path):
    """The rate that it really takes, d*lr, stands first; the rate that was asked for stands beside it."""
    _, recorder = train(tmp_path, optimizer_type="dadaptadam", learning_rate=0.5, max_train_steps=8)
    values = [event.values for event in recorder.of("metric")]
    assert [one["lr/unet"] for one in values] == [0.5] * 8
    assert all(one["lr"] == one["lr/d*lr/unet"] for one in values)
    assert values[0]["lr"] == pytest.approx(0.5e-6)
    assert values[-1]["lr"] > 1.5 * values[0]["lr"]
