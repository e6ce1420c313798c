"""Each kind of noise against numbers worked out by hand, and where its randomness comes from."""

import pytest
import torch

from sd_scripts.library.data.training_data import Item
from sd_scripts.library.seeds import derive
from sd_scripts.library.train.noise import Draw, adapted, layer_sizes, multires, perturbed, shifted
from sd_scripts.options.noise import NoiseOptions
from tests.train.tiny import tiny_data, train

CLEAN_CHW = torch.arange(4.0)[:, None, None].expand(4, 16, 16) - 1.0
ITEM = Item(3, 0)
ALL_NOISE = {
    "noise_offset": 0.1,
    "noise_offset_random_strength": True,
    "adaptive_noise_scale": 0.1,
    "multires_noise_iterations": 3,
    "ip_noise_gamma": 0.1,
    "ip_noise_gamma_random_strength": True,
}


def draw(seed=1, epoch=0, **options):
    return Draw(seed, epoch, NoiseOptions(**options))


def noise(**options):
    return draw(**options).noise(ITEM, CLEAN_CHW)


def test_an_offset_moves_whole_channels():
    noise_CHW = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    assert shifted(noise_CHW, torch.tensor([10.0, -10.0]), 0.1).tolist() == [[[2.0, 3.0]], [[2.0, 3.0]]]
    each_C = torch.tensor([0.1, 0.2])
    assert shifted(noise_CHW, torch.tensor([10.0, -10.0]), each_C).tolist() == [[[2.0, 3.0]], [[1.0, 2.0]]]


def test_the_offset_adapts_to_the_mean_of_each_channel_and_never_turns():
    assert adapted(0.5, 0.25, torch.tensor([2.0, -2.0, 0.0])).tolist() == [1.0, 1.0, 0.5]
    assert adapted(0.5, -0.25, torch.tensor([1.0, -4.0])).tolist() == [0.25, 0.0]


def test_layers_shrink_until_one_side_is_one():
    assert layer_sizes(64, 32, [2.0, 2.0, 4.0]) == [(64, 32), (32, 16), (4, 2)]
    assert layer_sizes(8, 12, [4.0, 4.0, 4.0, 4.0]) == [(8, 12), (2, 3), (1, 1)]
    assert layer_sizes(8, 8, [3.0]) == [(8, 8)]


def test_coarse_layers_are_enlarged_weakened_and_scaled_back():
    noise_CHW = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    mixed_CHW = multires(noise_CHW, [torch.zeros(1, 2, 2), torch.full((1, 1, 1), 10.0)], 0.5)
    # 6, 7, 8, 9, whose standard deviation is the root of 5/3.
    expected = [[[4.647580, 5.422177], [6.196773, 6.971370]]]
    torch.testing.assert_close(mixed_CHW, torch.tensor(expected))
    # Enlarged bilinearly, by the centres of pixels: 0 and 4 become 0, 1, 3, 4.
    wide_CHW = multires(torch.zeros(1, 1, 4), [torch.zeros(1, 1, 4), torch.tensor([[[0.0, 4.0]]])], 1.0)
    torch.testing.assert_close(wide_CHW, torch.tensor([[[0.0, 1.0, 3.0, 4.0]]]) / (10 / 3) ** 0.5)


def test_more_noise_on_top():
    assert perturbed(torch.tensor([1.0, 2.0]), torch.tensor([10.0, -10.0]), 0.1).tolist() == [2.0, 1.0]


def test_by_default_it_is_plain_noise():
    generator = torch.Generator().manual_seed(derive(1, "noise", 0, 3, 0))
    plain_CHW = torch.randn(4, 16, 16, generator=generator)
    assert torch.equal(noise(), plain_CHW)
    assert torch.equal(draw().input_noise(ITEM, plain_CHW), plain_CHW)
    idle = {"noise_offset": 0.0, "multires_noise_iterations": 0, "ip_noise_gamma": 0.0}
    assert torch.equal(noise(**idle), plain_CHW)
    assert torch.equal(draw(**idle).input_noise(ITEM, plain_CHW), plain_CHW)


def test_draws_depend_on_where_they_are_used():
    def drawn(seed=1, epoch=0, item=ITEM):
        place = draw(seed, epoch, **ALL_NOISE)
        return place.input_noise(item, place.noise(item, CLEAN_CHW))

    assert torch.equal(drawn(), drawn())
    for other in (drawn(seed=2), drawn(epoch=1), drawn(item=Item(4, 0)), drawn(item=Item(3, 1))):
        assert not torch.equal(drawn(), other)


def test_the_offset_is_added_to_the_same_noise():
    difference_CHW = noise(noise_offset=0.1) - noise()
    torch.testing.assert_close(difference_CHW, difference_CHW[:, :1, :1].expand(4, 16, 16))
    assert difference_CHW.abs().max() > 0


def test_a_random_offset_is_a_share_of_the_whole_one():
    whole_C = (noise(noise_offset=0.4) - noise()).mean(dim=(1, 2))
    shares = []
    for image in range(40):
        place = draw(noise_offset=0.4, noise_offset_random_strength=True)
        there = draw(noise_offset=0.4).noise(Item(image, 0), CLEAN_CHW) - draw().noise(Item(image, 0), CLEAN_CHW)
        part = place.noise(Item(image, 0), CLEAN_CHW) - draw().noise(Item(image, 0), CLEAN_CHW)
        shares.append(float(part[0, 0, 0] / there[0, 0, 0]))
    assert min(shares) >= 0 and max(shares) <= 1 + 1e-5 and max(shares) - min(shares) > 0.7
    assert whole_C.abs().max() > 0


def test_an_adaptive_offset_follows_the_picture():
    plain_C, adaptive_C = (
        (noise(noise_offset=0.1, **more) - noise()).mean(dim=(1, 2)) for more in ({}, {"adaptive_noise_scale": 0.2})
    )
    # The channels' means are -1, 0, 1 and 2: offsets of 0.3, 0.1, 0.3 and 0.5 in place of 0.1.
    torch.testing.assert_close(adaptive_C / plain_C, torch.tensor([3.0, 1.0, 3.0, 5.0]), rtol=1e-4, atol=1e-4)


def test_coarse_noise_has_more_in_common_with_its_neighbour():
    def likeness(noise_CHW):
        return float((noise_CHW[:, :, 1:] * noise_CHW[:, :, :-1]).mean())

    coarse_CHW = noise(multires_noise_iterations=6, multires_noise_discount=0.8)
    assert float(coarse_CHW.std()) == pytest.approx(1.0, abs=1e-4)
    assert likeness(coarse_CHW) > 0.2 > abs(likeness(noise()))
    assert not torch.equal(coarse_CHW, noise(multires_noise_iterations=6, multires_noise_discount=0.3))


def test_input_noise_is_gamma_times_more():
    plain_CHW = noise()
    more_CHW = draw(ip_noise_gamma=0.1).input_noise(ITEM, plain_CHW) - plain_CHW
    twice_CHW = draw(ip_noise_gamma=0.2).input_noise(ITEM, plain_CHW) - plain_CHW
    torch.testing.assert_close(twice_CHW, 2 * more_CHW, rtol=1e-4, atol=1e-5)
    assert float(more_CHW.std()) == pytest.approx(0.1, rel=0.1)
    random = draw(ip_noise_gamma=0.1, ip_noise_gamma_random_strength=True)
    strengths = [float((random.input_noise(Item(i, 0), plain_CHW) - plain_CHW).std()) for i in range(40)]
    assert min(strengths) < 0.02 and 0.08 < max(strengths) < 0.12


def test_timesteps_reach_everywhere():
    drawn = [draw(epoch=epoch).timestep(Item(image, 0)) for epoch in range(20) for image in range(100)]
    assert min(drawn) >= 0 and max(drawn) <= 999
    assert min(drawn) < 10 and max(drawn) > 990
    assert sum(drawn) / len(drawn) == pytest.approx(499.5, abs=25)


def test_timesteps_between_limits():
    drawn = {draw(min_timestep=10, max_timestep=13).timestep(Item(image, 0)) for image in range(60)}
    assert drawn == {10, 11, 12}
    assert max(draw(max_timestep=2).timestep(Item(image, 0)) for image in range(30)) == 1
    assert {draw(min_timestep=999).timestep(Item(image, 0)) for image in range(5)} == {999}


def test_one_batch_of_four_is_two_in_a_window_with_all_kinds_of_noise_and_loss(tmp_path):
    """Nothing is drawn, measured or weighed over a batch."""
    everything = {
        **ALL_NOISE,
        "min_snr_gamma": 5.0,
        "loss_type": "huber",
        "debiased_estimation_loss": True,
        "max_train_steps": 1,
    }
    _, whole = train(tmp_path, data=tiny_data(4, side_px=128), train_batch_size=4, **everything)
    _, parts = train(
        tmp_path, data=tiny_data(4, side_px=128), train_batch_size=3, gradient_accumulation_steps=2, **everything
    )
    assert parts.losses == pytest.approx(whole.losses, rel=1e-5)


def test_a_place_may_have_the_name_of_a_file_that_is_no_utf_8():
    assert derive(1, "caption", "gr\udcfcn.png") != derive(1, "caption", "gr\udce4n.png")
    assert derive(1, "caption", "grün.png") == derive(1, "caption", "grün.png")
