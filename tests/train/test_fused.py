"""Optimizer steps within the backward pass: the same weights, without a model's worth of gradients."""

import pytest
import torch

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.fused import ONE_BY_ONE, FusedSteps, check_fused
from sd_scripts.options.optimizer import OPTIMIZER_GROUPS, OptimizerOptions
from tests.train.tiny import tiny_data, tiny_family, train, weights

# A limit that no gradient reaches: the two ways of clipping are the same then.
FUSED = {"fused_backward_pass": True, "max_grad_norm": 0.0, "max_train_steps": 4, "train_batch_size": 2}


@pytest.mark.parametrize("optimizer", ["AdamW", "AdaFactor", "AdamW8bit"])
def test_the_weights_are_those_of_whole_steps(tmp_path, optimizer):
    given = FUSED | {"optimizer_type": optimizer, "lr_scheduler": "cosine"}
    fused, one = train(tmp_path, text=True, **given)
    whole, other = train(tmp_path, text=True, **given | {"fused_backward_pass": False})
    assert one.losses == pytest.approx(other.losses, rel=1e-5)
    for told in ("grad_norm", "lr/unet", "lr/text_encoder"):
        ours, theirs = ([event.values[told] for event in recorder.of("metric")] for recorder in (one, other))
        assert ours == pytest.approx(theirs, rel=1e-5), told
    for part in ("unet", "text_encoder"):
        expected = weights(getattr(whole.family, part))
        for name, tensor in weights(getattr(fused.family, part)).items():
            torch.testing.assert_close(tensor, expected[name], rtol=1e-4, atol=1e-6)


def test_no_gradient_is_left_when_the_next_one_comes(tmp_path, monkeypatch):
    left = []
    take = FusedSteps._take

    def watched(self, portion, parameter):
        others = [other for other in self._optimizer.param_groups[portion.group]["params"] if other is not parameter]
        left.append(sum(other.grad is not None for other in others))
        take(self, portion, parameter)

    monkeypatch.setattr(FusedSteps, "_take", watched)
    trainer, _ = train(tmp_path, **FUSED)
    trained = len(list(trainer.family.unet.parameters()))
    assert len(left) == 4 * trained and max(left) < trained / 10


def test_each_gradient_is_limited_by_itself():
    parameters = [torch.nn.Parameter(torch.zeros(2)), torch.nn.Parameter(torch.zeros(1))]
    groups = [{"params": parameters, "lr": 1.0, "name": "unet"}]
    fused = FusedSteps(torch.optim.SGD(groups), max_norm=1.0)
    (3 * parameters[0][0] + 4 * parameters[0][1] + 0.5 * parameters[1][0]).backward()
    torch.testing.assert_close(parameters[0].detach(), torch.tensor([-0.6, -0.8]))
    torch.testing.assert_close(parameters[1].detach(), torch.tensor([-0.5]))
    assert float(fused.finish(torch.tensor(1.0)).grad_norm) == pytest.approx((25 + 0.25) ** 0.5)
    assert all(parameter.grad is None for parameter in parameters)


def test_it_goes_on_from_a_state_of_whole_steps(tmp_path):
    given = FUSED | {"save_every_n_steps": 2, "save_state": True}
    _, whole = train(tmp_path, data=tiny_data(5), text=True, **given)
    state = str(tmp_path / "out" / "X-step00000002-state")
    _, resumed = train(tmp_path, tiny_family(1), tiny_data(5), True, **given, resume=state)
    assert resumed.losses == whole.losses[2:]
    given["fused_backward_pass"] = False
    _, other = train(tmp_path, tiny_family(1), tiny_data(5), True, **given, resume=state)
    assert other.losses == pytest.approx(whole.losses[2:], rel=1e-5)


@pytest.mark.parametrize("optimizer", ["prodigyopt.Prodigy", "schedulefree.AdamWScheduleFree"])
def test_optimizers_that_take_account_of_whole_steps_are_refused(optimizer):
    pytest.importorskip(optimizer.split(".")[0])
    with pytest.raises(BadOption, match="takes account of whole steps") as caught:
        check_fused(OptimizerOptions(optimizer_type=optimizer))
    assert caught.value.option == "fused_backward_pass"
    assert "Use one of AdamW, Lion, AdaFactor, SGDNesterov, Adam, " in str(caught.value)


@pytest.mark.filterwarnings("ignore:Paged optimizers are not supported on CPU:UserWarning")
@pytest.mark.parametrize("optimizer", ["", *ONE_BY_ONE, *OPTIMIZER_GROUPS["low_memory"], "torch.optim.RAdam"])
def test_the_others_are_taken(optimizer):
    check_fused(OptimizerOptions(optimizer_type=optimizer))
