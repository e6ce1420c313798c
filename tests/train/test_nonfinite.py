"""A loss or gradient that is no number: weights are never touched by it, and training stops, skips or goes back."""

import copy
import math

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.library.errors import BadFile, BadOption, LossNotFinite
from sd_scripts.library.report import Report
from sd_scripts.library.train.checks.trouble import check_trouble
from sd_scripts.library.train.course import Place
from sd_scripts.library.train.finite import MOST_IN_A_ROW, Watch, broken_tensor, trouble_of
from sd_scripts.library.train.recovery import MOST_ROLLBACKS
from sd_scripts.library.train.stepping import Guard
from tests.train.tiny import make_trainer, options, tiny_data, tiny_family, train, weights

STATES = {"save_state": True, "save_every_n_steps": 2, "max_train_steps": 6}


def breaking(*calls, gradient=False):
    """A model whose prediction, or only its gradient, is NaN at some calls (from 1)."""
    family, made = tiny_family(), []
    predict = family.predict

    def broken(*arguments):
        made.append(arguments)
        prediction = predict(*arguments)
        if len(made) in calls and gradient:
            prediction.register_hook(lambda grad: grad * math.nan)
        elif len(made) in calls:
            prediction = prediction * math.nan
        return prediction

    family.predict = broken
    return family


def stopped(folder, family, **values):
    """(trainer, recorder, the error's sentence) of a training that stops."""
    folder.mkdir(exist_ok=True)
    trainer, recorder = make_trainer(folder, family, **values)
    with pytest.raises(LossNotFinite) as caught:
        trainer.run()
    return trainer, recorder, str(caught.value)


def same(one, other):
    return all(torch.equal(tensor, other[name]) for name, tensor in one.items())


@pytest.fixture(scope="module")
def whole_losses(tmp_path_factory):
    return train(tmp_path_factory.mktemp("whole"), **STATES | {"ema_decay": 0.9})[1].losses


@pytest.mark.parametrize("gradient", [False, True])
def test_it_stops_before_the_weights_are_touched(tmp_path, gradient, whole_losses):
    family = breaking(4, gradient=gradient)
    _, recorder, sentence = stopped(tmp_path, family, **STATES | {"ema_decay": 0.9})
    what = "The gradient" if gradient else "The loss"
    assert sentence.startswith(f"{what} became NaN at step 4, in epoch 1 (pictures: picture")
    assert "The state before it is saved: " in sentence and "X-step00000003-state. Last good save: " in sentence
    assert "What may help: a lower --learning_rate than 0.001, --min_snr_gamma 5" in sentence
    assert [event.step for event in recorder.of("metric")] == [1, 2, 3]
    # The state goes on as if nothing had been: the same losses as of a training that was never poisoned.
    state = str(tmp_path / "out" / "X-step00000003-state")
    _, again = train(tmp_path, **STATES | {"ema_decay": 0.9}, resume=state)
    assert again.losses == whole_losses[3:]


def test_without_states_the_last_save_is_named_and_nothing_bad_is_saved(tmp_path):
    _, _, sentence = stopped(tmp_path, breaking(4), max_train_steps=6, save_every_n_steps=3)
    assert f"Last good save: {tmp_path / 'out' / 'X-step00000003.safetensors'}." in sentence
    _, _, sentence = stopped(tmp_path / "b", breaking(4), max_train_steps=6, save_every_n_steps=4)
    assert "Nothing was saved before." in sentence and not (tmp_path / "b" / "out").exists()


def test_the_batch_is_named(tmp_path):
    values = {"gradient_accumulation_steps": 2, "max_train_steps": 2, "no_half_vae": True}
    trainer, recorder = make_trainer(tmp_path, breaking(4), **values)
    second = trainer._windows()[1][1][0].image
    with pytest.raises(LossNotFinite, match=rf"at step 2, in epoch 1 \(batch 2 of 2; pictures: picture{second}\)"):
        trainer.run()


def test_a_rate_that_is_far_too_high(tmp_path):
    """What users meet: the weights are numbers, but their figures are not any more."""
    values = STATES | {"learning_rate": 1e30, "max_grad_norm": 0.0, "save_every_n_steps": 1}
    trainer, _, sentence = stopped(tmp_path, tiny_family(), **values)
    assert sentence.startswith("The loss became ") and "at step 2" in sentence and "--max_grad_norm 1" in sentence
    assert broken_tensor({"unet": trainer.family.unet}) is None


BREAKS = {"optimizer_args": ["eps=0.0"], "save_every_n_steps": 1, "max_train_steps": 3}
"""Gradients of exactly 0 are divided by 0: each figure of the step is a number, and the weights are none."""


@pytest.mark.parametrize("given", [{"on_nonfinite": "skip"}, {"save_every_n_steps": None, "max_train_steps": 1}, {}])
def test_weights_that_the_optimizer_broke_are_never_saved(tmp_path, given):
    _, _, sentence = stopped(tmp_path, tiny_family(), **BREAKS | {"save_state": True} | given)
    assert sentence.startswith("The weights are no numbers any more after step 1 (the unet's ")
    assert "so they are not saved. Nothing was saved before." in sentence
    assert "in place of --optimizer_args" in sentence and "pictures" not in sentence
    assert not (tmp_path / "out").exists()


def test_training_goes_back_from_weights_that_the_optimizer_broke(tmp_path):
    values = {"max_train_steps": 4, "save_every_n_steps": 1, "save_state": True, "on_nonfinite": "rollback"}
    trainer, recorder = make_trainer(tmp_path, **values)
    original = type(trainer)._after_step

    def after(self, ended):
        if self.place.step == 3:
            with torch.no_grad():
                next(self.family.unet.parameters()).flatten()[0] = math.nan
        original(self, ended)

    trainer._after_step = after.__get__(trainer)
    trainer.run()
    assert "after step 3 (the unet's conv_in.weight): back to the weights and the optimizer of" in recorder.said
    saved = sorted((tmp_path / "out").glob("*.safetensors"))
    assert len(saved) == 5
    for file in saved:
        assert all(bool(tensor.isfinite().all()) for tensor in load_file(file).values()), file


def test_a_step_is_skipped_whole(tmp_path):
    given = {"on_nonfinite": "skip", "ema_decay": 0.9, "max_train_steps": 4}
    given |= {"lr_scheduler_type": "StepLR", "lr_scheduler_args": ["step_size=2", "gamma=0.5"]}
    trainer, recorder = make_trainer(tmp_path, breaking(2), **given)
    snapshots, original = [], type(trainer)._after_step

    def after(self, ended):
        contents = self.learner.contents
        snapshots.append(
            copy.deepcopy(
                (weights(self.family.unet), contents.optimizer.state_dict(), contents.averages.state_dict(),
                 contents.scheduler.state_dict())
            )
        )  # fmt: skip
        original(self, ended)

    trainer._after_step = after.__get__(trainer)
    trainer.run()
    first, second, third, _ = snapshots
    assert same(first[0], second[0]) and not same(second[0], third[0])
    assert all(torch.equal(first[2][name], second[2][name]) for name in first[2])
    assert str(first[1]) == str(second[1]) and first[3] == second[3]
    assert trainer.place.step == 4 and [event.step for event in recorder.of("metric")] == [1, 3, 4]
    assert "The loss became NaN at step 2" in recorder.said and "this step is left out." in recorder.said
    assert recorder.of("summary")[0].counts["steps_left_out"] == 1


def test_skipping_ends_where_nothing_else_comes(tmp_path):
    values = {"on_nonfinite": "skip", "save_state": True, "max_train_steps": 60}
    trainer, _, sentence = stopped(tmp_path, breaking(*range(4, 99)), **values)
    assert f"at step {3 + MOST_IN_A_ROW}," in sentence and "the last of 20 such steps in a row" in sentence


def test_a_training_that_ends_with_steps_left_out_says_so(tmp_path):
    trainer, recorder = make_trainer(tmp_path, breaking(3, 4), on_nonfinite="skip", max_train_steps=4)
    trainer.run()
    assert "The last 2 steps were all left out: the weights may be broken already." in recorder.said


def test_it_goes_back_to_the_newest_state_and_on(tmp_path):
    values = STATES | {"on_nonfinite": "rollback", "max_train_steps": 5}
    trainer, recorder = make_trainer(tmp_path, breaking(4), **values)
    trainer.run()
    assert "What was learnt since step 2 is left out (1 of at most 5 times)." in recorder.said
    assert [event.step for event in recorder.of("metric")] == [1, 2, 3, 5]
    # Step 5 begins with what step 2 had come to.
    (tmp_path / "other").mkdir()
    other, again = make_trainer(tmp_path / "other", breaking(3, 4), **STATES | {"on_nonfinite": "skip"})
    other.run()
    assert recorder.losses[3] == again.losses[2]
    assert trainer.place.step == 5 and (tmp_path / "out" / "X.safetensors").exists()


def test_a_scheduler_goes_on_from_where_training_stands(tmp_path):
    halving = {"lr_scheduler_type": "StepLR", "lr_scheduler_args": ["step_size=1", "gamma=0.5"]}
    values = STATES | halving | {"on_nonfinite": "rollback", "max_train_steps": 6, "learning_rate": 1e-3}
    trainer, recorder = make_trainer(tmp_path, breaking(4), **values)
    trainer.run()
    rates = {event.step: event.values["lr"] for event in recorder.of("metric")}
    # The step that was left out has not halved it; the one that was taken back has.
    assert rates == pytest.approx({1: 1e-3, 2: 5e-4, 3: 2.5e-4, 5: 1.25e-4, 6: 6.25e-5})


def test_without_a_whole_state_it_says_that_it_cannot_go_back(tmp_path):
    values = STATES | {"on_nonfinite": "rollback", "max_train_steps": 5}
    assert "There is no state that it could go back to." in stopped(tmp_path / "none", breaking(1), **values)[2]
    trainer, _ = make_trainer(tmp_path, breaking(4), **values)
    save = trainer._save

    def damaging(*arguments, **how):
        save(*arguments, **how)
        trainer.outputs.settle()
        (trainer.kept.states[-1].folder / "optimizer.pt").write_bytes(b"")

    trainer._save = damaging
    with pytest.raises(LossNotFinite, match="There is no state that it could go back to."):
        trainer.run()


def test_it_goes_back_only_so_often(tmp_path):
    values = {"on_nonfinite": "rollback", "save_state": True, "save_every_n_steps": 1, "max_train_steps": 20}
    _, recorder, sentence = stopped(tmp_path, breaking(*range(3, 99)), **values)
    assert f"at step {3 + MOST_ROLLBACKS}," in sentence and f"Training went back {MOST_ROLLBACKS} times." in sentence


def test_weights_that_change_within_the_backward_pass_stay_numbers(tmp_path):
    for gradient in (False, True):
        values = STATES | {"fused_backward_pass": True, "save_every_n_steps": 3}
        trainer, _, sentence = stopped(tmp_path / str(gradient), breaking(4, gradient=gradient), **values)
        assert "Other weights took that step before it was seen. Last good save: " in sentence
        assert "X-step00000003" in sentence and broken_tensor({"unet": trainer.family.unet}) is None


def weight(value, fused=True):
    parameter = torch.nn.Parameter(torch.tensor([1.0, 2.0]))
    optimizer = torch.optim.AdamW([parameter], lr=0.1, fused=fused)
    optimizer.scaler = None
    parameter.grad = torch.full((2,), value)
    return parameter, optimizer


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("lasting", [False, True])
def test_the_device_leaves_a_step_out_as_the_host_does(late, lasting):
    """A GPU need not be waited for: its optimizer leaves the step out by itself, and says so afterwards."""
    parameter, optimizer = weight(0.5)
    guard = Guard(optimizer, optimizer, late, lasting)
    seen = []
    for norm in (1.0, math.nan, 1.0):
        parameter.grad = torch.full((2,), norm)
        guard.step(torch.tensor(1.0), torch.tensor(norm))
        seen.append((parameter.detach().clone(), copy.deepcopy(optimizer.state_dict()["state"])))
    one, two, three = seen
    assert torch.equal(one[0], two[0]) and str(one[1]) == str(two[1])
    # Until someone has seen to it those that follow are left out too.
    assert torch.equal(two[0], three[0]) == (late and lasting)
    guard.go_on()
    parameter.grad = torch.ones(2)
    guard.step(torch.tensor(1.0), torch.tensor(1.0))
    assert not torch.equal(parameter, three[0])


def test_what_is_wrong_with_a_step():
    place, images = Place(4, 0, 4), [["a"], ["b", "c"]]
    assert trouble_of(place, 1.0, [0.5, 0.5], 2.0, images) is None
    assert trouble_of(place, 1.0, [0.5, 0.5], None, images) is None
    found = trouble_of(place, math.nan, [0.5, math.inf], 2.0, images)
    assert found.words == "The loss became infinite at step 5, in epoch 1 (batch 2 of 2; pictures: b, c)"
    found = trouble_of(place, 1.0, [0.5, 0.5], math.inf, [list("abcd"), list("efg")])
    assert found.words == "The gradient became infinite at step 5, in epoch 1 (pictures: a, b, c, d, e and 2 more)"


def test_an_overflow_of_fp16_is_ordinary_and_twenty_are_not():
    given_up = []
    watch = Watch(False, True, given_up.append, Report())
    overflow = trouble_of(Place(), 1.0, [1.0], math.inf, [["a"]])
    assert all(watch.passes(overflow) for _ in range(MOST_IN_A_ROW - 1)) and not given_up
    assert watch.passes(None)
    assert all(watch.passes(overflow) for _ in range(MOST_IN_A_ROW - 1)) and not given_up
    assert not watch.passes(overflow) and given_up == [overflow]
    assert not watch.passes(trouble_of(Place(), math.nan, [math.nan], math.nan, [["a"]])) and len(given_up) == 2


def test_broken_weights_are_told_with_their_file_before_anything_is_done(tmp_path):
    family = tiny_family()
    with torch.no_grad():
        family.unet.conv_in.weight[0, 0, 0, 0] = math.nan
    with pytest.raises(
        BadFile, match=r"^base.safetensors: the tensor conv_in.weight of its unet holds NaN or infinite"
    ):
        train(tmp_path, family)
    family = tiny_family()
    with torch.no_grad():
        family.vae.decoder.conv_out.bias[0] = math.inf
    with pytest.raises(BadFile, match=r"^my-vae: the tensor decoder.conv_out.bias of its vae holds"):
        train(tmp_path, family, vae="my-vae")


def test_a_broken_state_is_told_as_such(tmp_path):
    from safetensors.torch import load_file, save_file

    train(tmp_path, save_state=True)
    file = tmp_path / "out" / "X-state" / "unet.safetensors"
    tensors = load_file(file)
    tensors["conv_in.bias"][0] = math.nan
    save_file(tensors, file)
    with pytest.raises(BadFile, match=r"unet.safetensors: the tensor conv_in.bias of its unet"):
        train(tmp_path, resume=str(file.parent), max_train_steps=5)


def test_a_validation_that_is_no_number_is_told_and_does_not_count(tmp_path):
    data = tiny_data(4)
    data.held_out = tiny_data(1)
    trainer, recorder = make_trainer(tmp_path, data=data, validate_every_n_steps=1, max_train_steps=2)
    trainer._prepare()
    trainer.outputs = copy.copy(trainer.outputs)
    object.__setattr__(trainer.outputs, "validate", lambda validation: math.nan)
    trainer._validate(trainer.validation)
    assert "The validation loss after step 0 is no number" in recorder.said
    assert trainer.standing.since == 0 and not recorder.of("validation")


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"on_nonfinite": "rollback"}, "needs states to go back to: --save_state, and --save_every_n_steps"),
        ({"on_nonfinite": "rollback", "save_state": True}, "needs states to go back to"),
        ({"on_nonfinite": "skip", "fused_backward_pass": True}, "skip does not go with --fused_backward_pass"),
        ({"on_nonfinite": "skip", "fused_optimizer_groups": 2}, "skip does not go with --fused_optimizer_groups"),
        ({"on_nonfinite": "skip", "deepspeed": True}, "skip does not go with --deepspeed"),
        ({"on_nonfinite": "rollback", "deepspeed": True}, "rollback does not go with --deepspeed"),
        ({"on_oom": "retry", "fused_backward_pass": True}, "--on_oom retry does not go with --fused_backward_pass"),
    ],
)
def test_what_cannot_be_done_is_refused(tmp_path, values, says):
    with pytest.raises(BadOption, match=says):
        check_trouble(options(tmp_path, **values))
