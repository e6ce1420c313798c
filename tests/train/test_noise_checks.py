"""Options of noise and loss that contradict are refused; those that do nothing are named."""

import pytest

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.checks.noise import check_noise, idle_options
from sd_scripts.library.train.checks.training import check_training
from tests.train.tiny import options

V = {"v_parameterization": True}
SCALE = "scale_v_pred_loss_like_noise_pred"


@pytest.mark.parametrize(
    ("values", "option", "sentence"),
    [
        ({"adaptive_noise_scale": 0.1}, "adaptive_noise_scale", "needs a --noise_offset above 0"),
        ({"adaptive_noise_scale": 0.1, "noise_offset": 0.0}, "adaptive_noise_scale", "needs a --noise_offset above 0"),
        ({SCALE: True}, SCALE, "needs --v_parameterization"),
        ({"v_pred_like_loss": 0.1, **V}, "v_pred_like_loss", "is not for --v_parameterization"),
        ({"min_timestep": 500, "max_timestep": 500}, "min_timestep", "500 must be less than --max_timestep 500"),
        ({"min_timestep": 10, "max_timestep": 3}, "min_timestep", "10 must be less than --max_timestep 3"),
        ({"huber_c": 0.0}, "huber_c", "--huber_c 0 leaves no loss to learn from. Use more than 0, such as 0.1"),
        ({"huber_scale": 0.0}, "huber_scale", "such as 1.0"),
        ({"zero_terminal_snr": True, "debiased_estimation_loss": True}, "debiased_estimation_loss", "infinite weight"),
        ({"zero_terminal_snr": True, "v_pred_like_loss": 0.1}, "v_pred_like_loss", "add --max_timestep 999"),
    ],
)
def test_mistakes(tmp_path, values, option, sentence):
    with pytest.raises(BadOption, match=sentence) as caught:
        check_training(options(tmp_path, **values))
    assert caught.value.option == option
    assert str(caught.value).endswith(".")


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"noise_offset": 0.1, "adaptive_noise_scale": -0.1, "noise_offset_random_strength": True},
        {"noise_offset": 0.1, "multires_noise_iterations": 6, "multires_noise_discount": 0.5},
        {"min_timestep": 999},
        {"max_timestep": 1},
        {SCALE: True, "zero_terminal_snr": True, "debiased_estimation_loss": True, **V},
        {"loss_type": "huber", "huber_schedule": "exponential", "huber_c": 0.2, "huber_scale": 2.0},
        {"v_pred_like_loss": 0.1},
        {"v_pred_like_loss": 0.0, "adaptive_noise_scale": 0.0, **V},
    ],
)
def test_good_options_are_neither_refused_nor_noticed(tmp_path, values):
    check_noise(options(tmp_path, **values))
    assert list(idle_options(options(tmp_path, **values))) == []


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"noise_offset_random_strength": True}, "--noise_offset_random_strength does nothing without --noise_offset."),
        (
            {"multires_noise_discount": 0.5},
            "--multires_noise_discount does nothing without --multires_noise_iterations.",
        ),
        (
            {"ip_noise_gamma_random_strength": True},
            "--ip_noise_gamma_random_strength does nothing without --ip_noise_gamma.",
        ),
        ({"huber_c": 0.2}, "--huber_c does nothing with --loss_type l2: it is for huber and smooth_l1."),
        (
            {"huber_schedule": "constant", "loss_type": "l1"},
            "--huber_schedule does nothing with --loss_type l1: it is for huber and smooth_l1.",
        ),
        ({"huber_scale": 2.0, "loss_type": "huber"}, "--huber_scale does nothing with --huber_schedule snr."),
        (
            {"zero_terminal_snr": True},
            "--zero_terminal_snr is for models that predict velocity (--v_parameterization): one that predicts noise"
            " has nothing to learn at the last timestep, and other programs draw its pictures wrongly.",
        ),
        ({"zero_terminal_snr": True, "debiased_estimation_loss": True, "max_timestep": 999}, None),
    ],
)
def test_what_does_nothing_is_named(tmp_path, values, sentence):
    given = options(tmp_path, **values)
    check_noise(given)
    (told,) = idle_options(given)
    assert sentence is None or told == sentence
