"""Losses and the weights of timesteps against numbers worked out by hand."""

import pytest
import torch

from sd_scripts.library.models.schedule import alphas_cumprod, with_zero_terminal_snr
from sd_scripts.library.train.losses import (
    LOSSES,
    THRESHOLDS,
    absolute,
    by_snr,
    constant,
    exponential,
    huber,
    make_loss,
    smooth_l1,
    squared,
)
from sd_scripts.library.train.weighting import (
    WEIGHTS,
    debiased,
    like_noise,
    min_snr,
    snr,
    timestep_weights,
    with_velocity,
)
from sd_scripts.options.noise import LossOptions
from sd_scripts.options.spec import option_specs

# A picture of 0.8, 0.5, 0.2 and nothing: SNR 4, 1, 1/4 and 0.
ALPHAS_T = torch.tensor([0.8, 0.5, 0.2, 0.0])
SNR_T = torch.tensor([4.0, 1.0, 0.25, 0.0])
CPU = torch.device("cpu")


def close(tensor, *numbers):
    torch.testing.assert_close(tensor, torch.tensor(numbers))


def losses(prediction, target, timesteps, mask=None, velocity=False, **options):
    loss = make_loss(ALPHAS_T, velocity, LossOptions(**options), CPU)
    return loss.per_item(prediction, target, torch.tensor(timesteps), mask)


def test_the_ratio_of_signal_and_noise():
    torch.testing.assert_close(snr(ALPHAS_T), SNR_T)


def test_min_snr():
    close(min_snr(SNR_T, 2.0, velocity=False), 0.5, 1.0, 1.0, 1.0)
    close(min_snr(SNR_T, 2.0, velocity=True), 0.4, 0.5, 0.2, 0.0)


def test_velocity_weighed_like_noise_and_the_other_way_round():
    close(like_noise(SNR_T), 0.8, 0.5, 0.2, 0.0)
    close(with_velocity(SNR_T[:3], 0.1), 1.125, 1.2, 1.5)
    # Without any noise the ratio has no end: it counts as 1000.
    close(like_noise(torch.tensor([float("inf")])), 1000 / 1001)


def test_debiased():
    close(debiased(SNR_T[:3], velocity=False), 0.5, 1.0, 2.0)
    close(debiased(SNR_T, velocity=True), 0.2, 0.5, 0.8, 1.0)
    close(debiased(torch.tensor([float("inf")]), velocity=False), 1000**-0.5)


def test_weights_are_multiplied_and_1_without_any():
    assert timestep_weights(ALPHAS_T, False, LossOptions()).tolist() == [1.0] * 4
    assert timestep_weights(ALPHAS_T, False, LossOptions(min_snr_gamma=0.0)).tolist() == [1.0] * 4
    both = LossOptions(min_snr_gamma=2.0, debiased_estimation_loss=True)
    close(timestep_weights(ALPHAS_T[:3], False, both), 0.25, 1.0, 2.0)
    close(timestep_weights(ALPHAS_T, True, LossOptions(scale_v_pred_loss_like_noise_pred=True)), 0.8, 0.5, 0.2, 0.0)
    close(timestep_weights(ALPHAS_T[:3], False, LossOptions(v_pred_like_loss=0.1)), 1.125, 1.2, 1.5)


def test_no_weight_of_a_schedule_that_ends_in_noise_is_infinite():
    alphas_T = with_zero_terminal_snr(alphas_cumprod(1000, 0.00085, 0.012))
    assert alphas_T[-1] == 0
    for velocity, options in (
        (False, LossOptions(min_snr_gamma=5.0)),
        (True, LossOptions(min_snr_gamma=5.0, debiased_estimation_loss=True, scale_v_pred_loss_like_noise_pred=True)),
    ):
        assert torch.isfinite(timestep_weights(alphas_T, velocity, options)).all()
    for name in THRESHOLDS:
        loss = make_loss(alphas_T, True, LossOptions(loss_type="huber", huber_schedule=name), CPU)
        assert torch.isfinite(loss.thresholds_T).all() and (loss.thresholds_T > 0).all()


def test_thresholds():
    close(constant(ALPHAS_T, 0.1, 3.0), 0.3, 0.3, 0.3, 0.3)
    close(exponential(ALPHAS_T[:2], 0.01, 3.0), 3.0, 0.3)
    # sigma is 1/2, 1, 2 and infinite.
    close(by_snr(ALPHAS_T, 0.1, 3.0), 0.5, 0.325, 0.2, 0.1)


def test_errors():
    error, threshold = torch.tensor([3.0, -3.0, 0.0]), torch.tensor(4.0)
    close(squared(error, threshold), 9.0, 9.0, 0.0)
    close(absolute(error, threshold), 3.0, 3.0, 0.0)
    close(smooth_l1(error, threshold), 2.0, 2.0, 0.0)
    close(huber(error, threshold), 8.0, 8.0, 0.0)


def test_each_item_has_its_own_error_threshold_and_weight():
    target = torch.tensor([[[[0.0, 0.0]]], [[[1.0, 3.0]]]])
    prediction = torch.tensor([[[[1.0, 3.0]]], [[[1.0, 1.0]]]])
    assert losses(prediction, target, [0, 1]).tolist() == [5.0, 2.0]
    assert losses(prediction.half(), target.half(), [0, 1]).dtype == torch.float32
    close(losses(prediction, target, [0, 1], loss_type="l1"), 2.0, 1.0)
    close(losses(prediction, target, [0, 1], min_snr_gamma=2.0), 2.5, 2.0)
    close(losses(prediction, target, [2, 0], min_snr_gamma=2.0), 5.0, 1.0)
    one = torch.full((2, 1, 1, 1), 3.0)
    given = {"loss_type": "smooth_l1", "huber_c": 0.1, "huber_schedule": "snr"}
    # 2 (sqrt(9 + c^2) - c), c = 0.5 and 0.2.
    close(losses(one, torch.zeros_like(one), [0, 2], **given), 5.0827625, 5.6133163)


def test_by_default_it_is_the_plain_mean_of_squares_to_the_last_bit():
    prediction, target = torch.randn(2, 3, 4, 8, 8, generator=torch.Generator().manual_seed(0))
    prediction.requires_grad_(True)
    plain = (prediction - target).square().mean(dim=(1, 2, 3))
    (expected,) = torch.autograd.grad(plain.sum(), prediction)
    ours = losses(prediction, target, [0, 1, 2])
    assert torch.equal(ours, plain)
    assert torch.equal(torch.autograd.grad(ours.sum(), prediction)[0], expected)


def test_a_mask_takes_errors_out_and_divides_by_all_places():
    prediction = torch.tensor([[[[1.0, 2.0]], [[3.0, 4.0]]], [[[1.0, 1.0]], [[1.0, 1.0]]]])
    mask_BHW = torch.tensor([[[1.0, 0.0]], [[0.5, 0.25]]])
    # (1 + 9) / 4, and 2 * (0.5 + 0.25) / 4; the weight of the timestep comes on top.
    close(losses(prediction, torch.zeros_like(prediction), [1, 1], mask_BHW), 2.5, 0.375)
    close(losses(prediction, torch.zeros_like(prediction), [0, 1], mask_BHW, min_snr_gamma=2.0), 1.25, 0.375)
    whole = torch.ones(2, 1, 2)
    assert torch.equal(losses(prediction, prediction * 0, [1, 1], whole), losses(prediction, prediction * 0, [1, 1]))


def test_a_mask_takes_part_in_the_step(tmp_path, monkeypatch):
    from dataclasses import replace

    from sd_scripts.library.train.batches import BatchMaker
    from tests.train.tiny import train

    given = {"max_train_steps": 1, "train_batch_size": 2}
    _, plain = train(tmp_path, **given)
    make = BatchMaker.make

    def masked(self, loaded, draw):
        batch = make(self, loaded, draw)
        return replace(batch, mask_BHW=torch.full_like(batch.latents_BCHW[:, 0], 0.25))

    monkeypatch.setattr(BatchMaker, "make", masked)
    _, quarter = train(tmp_path, **given)
    assert quarter.losses == pytest.approx([plain.losses[0] / 4], rel=1e-5)


def test_registries_hold_what_the_options_offer():
    specs = option_specs(LossOptions)
    assert set(LOSSES) == set(specs["loss_type"].choices)
    assert set(THRESHOLDS) == set(specs["huber_schedule"].choices)
    assert set(WEIGHTS) <= set(specs)
