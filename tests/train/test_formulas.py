"""The small parts against numbers worked out by hand, and the whole step against diffusers' own."""

import pytest
import torch

from sd_scripts.library.data.training_data import Item, Moment
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.train.course import Course, Place, course_of, fingerprint, windows
from sd_scripts.library.train.noise import Draw
from sd_scripts.options.training import LengthOptions
from tests.train.tiny import TEXTS, tiny_data, tiny_family, train


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
    noise_BCHW = draw.noise(item, latents_BCHW[0])[None]
    timesteps_B = torch.tensor([draw.timestep(item)])
    with torch.no_grad():
        noisy_BCHW = scheduler.add_noise(latents_BCHW, noise_BCHW, timesteps_B)
        hidden_BLD = family.text_encoder(family.tokenize(TEXTS[:1], TextSettings())["tokens_BL"]).last_hidden_state
        prediction_BCHW = family.unet(noisy_BCHW, timesteps_B, hidden_BLD).sample
    expected = torch.nn.functional.mse_loss(prediction_BCHW, noise_BCHW).item()
    _, recorder = train(tmp_path, tiny_family(), data, max_train_steps=1)
    assert recorder.losses == pytest.approx([expected], rel=1e-5)
