"""Every sampler really draws: a picture of its own, the same each time."""

import functools
from typing import get_args

import pytest
import torch
from accelerate import Accelerator

from sd_scripts.library.models import configs
from sd_scripts.library.models.family import TextSettings
from sd_scripts.library.models.samplers import sampling_scheduler
from sd_scripts.library.train.artist import Artist, Sketch
from sd_scripts.library.train.batches import Encoder
from sd_scripts.library.train.prompts import LONGEST_STEPS, Prompt
from sd_scripts.library.train.sampling import evaluating
from sd_scripts.library.train.texts import Texts
from sd_scripts.options.training import Samplers
from tests.train.tiny import tiny_family

# diffusers' schedulers hand torch tensors to numpy in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

NAMES = get_args(Samplers)
# Other programs' names for the same samplers.
SAME = {name: name.removeprefix("k_") for name in NAMES}
PROMPT = Prompt("a red cat", width=64, height=64, sample_steps=5)


def draw(sampler, seed=3):
    """pixels_CHW of the prompt, drawn anew."""
    family, accelerator = tiny_family(), Accelerator(cpu=True)
    texts = Texts(family, TextSettings(), accelerator, trained=False, keep=False)
    with evaluating([family.unet, family.text_encoder]):
        artist = Artist(family, texts, Encoder(family, accelerator, True), accelerator, 1)
        return artist.decode(artist.draw([Sketch(0, PROMPT, sampler, seed)])[0])


drawn = functools.cache(draw)


@pytest.mark.parametrize("sampler", NAMES)
def test_a_picture_is_drawn_and_drawn_again(sampler):
    pixels_CHW = drawn(sampler)
    assert pixels_CHW.shape == (3, 64, 64) and torch.isfinite(pixels_CHW).all()
    assert pixels_CHW.std() > 0.05
    assert torch.equal(draw(sampler), pixels_CHW)
    assert not torch.equal(drawn(sampler, seed=4), pixels_CHW)


@pytest.mark.parametrize("sampler", NAMES)
def test_samplers_differ_where_they_differ(sampler):
    for other in NAMES:
        assert torch.equal(drawn(sampler), drawn(other)) == (SAME[sampler] == SAME[other]), other


@pytest.mark.parametrize("sampler", sorted(set(SAME.values())))
def test_the_most_and_the_fewest_steps(sampler):
    scheduler = sampling_scheduler(sampler, configs.base_config("sd1")["scheduler"])
    for steps in (1, 2, LONGEST_STEPS):
        scheduler.set_timesteps(steps)
        latents_BCHW = torch.ones(1, 4, 1, 1) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            prediction_BCHW = scheduler.scale_model_input(latents_BCHW, timestep) * 0.1
            latents_BCHW = scheduler.step(prediction_BCHW, timestep, latents_BCHW).prev_sample
        assert torch.isfinite(latents_BCHW).all(), steps
