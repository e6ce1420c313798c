"""The small parts against numbers worked out by hand, and the whole step against diffusers' own."""

import pytest
import torch

from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.train.course import Course, Place, course_of, fingerprint, windows
from sd_scripts.library.train.losses import mse_per_item
from sd_scripts.library.train.noise import Draw, shifted
from sd_scripts.options.training import LengthOptions
from tests.train.tiny import TEXTS, tiny_data, tiny_family, train


def test_each_item_has_its_own_error():
    target_BCHW = torch.tensor([[[[0.0, 0.0]]], [[[1.0, 3.0]]]])
    prediction_BCHW = torch.tensor([[[[1.0, 3.0]]], [[[1.0, 1.0]]]])
    assert mse_per_item(prediction_BCHW, target_BCHW).tolist() == [5.0, 2.0]
    assert mse_per_item(prediction_BCHW.half(), target_BCHW.half()).dtype == torch.float32


def test_an_offset_moves_whole_channels():
    noise_CHW = torch.tensor([[[1.0, 2.0]], [[3.0, 4.0]]])
    assert shifted(noise_CHW, torch.tensor([10.0, -10.0]), 0.1).tolist() == [[[2.0, 3.0]], [[2.0, 3.0]]]


def test_draws_depend_on_where_they_are_used():
    item, shape = Item(3, 0), (4, 8, 8)
    noise_CHW = Draw(1, 0).noise(item, shape)
    assert torch.equal(noise_CHW, Draw(1, 0).noise(item, shape))
    for other, place in ((Draw(2, 0), item), (Draw(1, 1), item), (Draw(1, 0), Item(4, 0)), (Draw(1, 0), Item(3, 1))):
        assert not torch.equal(noise_CHW, other.noise(place, shape))
    # The offset is added to the same noise.
    difference_CHW = Draw(1, 0, 0.1).noise(item, shape) - noise_CHW
    torch.testing.assert_close(difference_CHW, difference_CHW[:, :1, :1].expand(shape))
    assert difference_CHW.abs().max() > 0


def test_timesteps_reach_everywhere():
    drawn = [Draw(1, epoch).timestep(Item(image, 0)) for epoch in range(20) for image in range(100)]
    assert min(drawn) >= 0 and max(drawn) <= 999
    assert min(drawn) < 10 and max(drawn) > 990
    assert sum(drawn) / len(drawn) == pytest.approx(499.5, abs=25)


def test_a_course():
    assert course_of(5, LengthOptions(max_train_steps=7, gradient_accumulation_steps=2)) == Course(3, 7)
    assert course_of(5, LengthOptions(max_train_steps=7, max_train_epochs=2)) == Course(5, 10)
    assert Course(3, 7).epochs == 3
    place = Place()
    assert [place.advance(Course(3, 7)) for _ in range(7)] == [None, None, 1, None, None, 2, None]
    assert place == Place(step=7, epoch=2, window=1)


def test_windows_and_fingerprints():
    plan = [[Item(0, 0)], [Item(1, 0)], [Item(2, 0)]]
    assert windows(plan, 2) == [plan[:2], plan[2:]]
    assert fingerprint(windows(plan, 2)) == fingerprint(windows(list(plan), 2))
    assert fingerprint(windows(plan, 2)) != fingerprint(windows(plan, 1))
    assert fingerprint(windows(plan, 1)) != fingerprint(windows(plan[::-1], 1))


def test_the_first_loss_is_what_diffusers_says(tmp_path):
    from diffusers import DDPMScheduler

    family, data = tiny_family(), tiny_data(1, side_px=128)
    scheduler = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    draw, item = Draw(1, 0), Item(0, 0)
    latents_BCHW = data.load(item, Moment(seed=1)).latents_CHW[None] * 0.18215
    noise_BCHW = draw.noise(item, latents_BCHW.shape[1:])[None]
    timesteps_B = torch.tensor([draw.timestep(item)])
    with torch.no_grad():
        noisy_BCHW = scheduler.add_noise(latents_BCHW, noise_BCHW, timesteps_B)
        hidden_BLD = family.text_encoder(family.tokenize(TEXTS[:1], TextSettings())).last_hidden_state
        prediction_BCHW = family.unet(noisy_BCHW, timesteps_B, hidden_BLD).sample
    expected = torch.nn.functional.mse_loss(prediction_BCHW, noise_BCHW).item()
    _, recorder = train(tmp_path, tiny_family(), data, max_train_steps=1)
    assert recorder.losses == pytest.approx([expected], rel=1e-5)
