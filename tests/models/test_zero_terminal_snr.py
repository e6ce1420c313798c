"""A schedule that ends in pure noise: its formula, its samplers, and the folders that know of it."""

import json
from typing import get_args

import pytest
import torch
from diffusers import DDIMScheduler

from sd_scripts.library.models import schedule
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.sd import load
from sd_scripts.library.report import Report
from sd_scripts.options.training import Samplers

# diffusers 0.42 hands tensors to numpy 2.5 in an old way.
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")


@pytest.fixture
def velocity(models):
    family = load(str(models / "sd2_v_folder"), v2=True, v_parameterization=True)
    family.use_zero_terminal_snr()
    return family


def test_by_hand():
    # Roots of 0.9, 0.5 and 0.1 are moved by 0.1 and stretched by 0.9 / 0.8: to 0.9, 0.45 and 0.
    alphas_T = schedule.with_zero_terminal_snr(torch.tensor([0.81, 0.25, 0.01]))
    torch.testing.assert_close(alphas_T, torch.tensor([0.81, 0.2025, 0.0]), rtol=1e-5, atol=1e-8)
    torch.testing.assert_close(schedule.betas(alphas_T), torch.tensor([0.19, 0.75, 1.0]), rtol=1e-5, atol=1e-6)


def test_it_is_what_diffusers_makes_of_it(velocity):
    theirs = DDIMScheduler(1000, 0.00085, 0.012, "scaled_linear", rescale_betas_zero_snr=True)
    torch.testing.assert_close(velocity.alphas_T, theirs.alphas_cumprod, rtol=2e-3, atol=1e-6)
    assert velocity.alphas_T[-1] == 0
    assert velocity.alphas_T[0].item() == pytest.approx(1 - 0.00085)


def test_the_last_step_is_nothing_but_noise(velocity):
    latents, noise = torch.randn(2, 1, 4, 8, 8)
    assert torch.equal(velocity.add_noise(latents, noise, torch.tensor([999])), noise)
    assert torch.equal(velocity.target(latents, noise, torch.tensor([999])), -latents)


@pytest.mark.parametrize("sampler", get_args(Samplers))
def test_every_sampler_begins_in_pure_noise_and_finds_the_picture(velocity, sampler):
    """A model that knows the answer, from noise in which nothing of it is left."""
    scheduler = velocity.sampling_scheduler(sampler)
    generator = torch.Generator().manual_seed(0)
    goal = torch.randn(1, 4, 8, 8, generator=generator)
    scheduler.set_timesteps(20)
    assert scheduler.timesteps[0] == 999
    sample = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
    for step in scheduler.timesteps:
        seen = scheduler.scale_model_input(sample, step)
        alpha = velocity.alphas_T[step.round().long()]
        noise = (seen - alpha.sqrt() * goal) / (1 - alpha).sqrt()
        told = alpha.sqrt() * noise - (1 - alpha).sqrt() * goal
        sample = scheduler.step(told, step, sample).prev_sample
    assert (sample - goal).abs().max() < 0.2


@pytest.mark.parametrize("sampler", ["ddim", "pndm", "euler", "heun", "dpmsolver++"])
def test_samplers_of_noise_models_keep_out_of_the_last_step(models, sampler):
    family = load(str(models / "sd1.safetensors"))
    family.use_zero_terminal_snr()
    scheduler = family.sampling_scheduler(sampler)
    scheduler.set_timesteps(20)
    assert scheduler.timesteps.max() < 998


def test_saved_folders_know_of_it(velocity, tmp_path):
    written = velocity.save(SaveRequest(tmp_path / "model", "diffusers"))
    config = json.loads((written / "scheduler" / "scheduler_config.json").read_text())
    assert (config["rescale_betas_zero_snr"], config["timestep_spacing"]) == (True, "trailing")


class Heard(Report):
    """Keeps what is noticed."""

    def __init__(self):
        self.noticed = []

    def notice(self, text, level="info"):
        self.noticed.append((level, text))


def test_velocity_with_stable_diffusion_1_is_noticed_unless_the_model_says_so(models, tmp_path):
    heard = Heard()
    family = load(str(models / "sd1.safetensors"), v_parameterization=True, report=heard)
    (notice,) = heard.noticed
    assert notice[0] == "warning" and "Leave out --v_parameterization if it predicts noise" in notice[1]
    assert family.prediction_type == "v_prediction"
    written = family.save(SaveRequest(tmp_path / "v", "safetensors"))
    sure = Heard()
    load(str(written), v_parameterization=True, report=sure)
    load(str(models / "sd2.safetensors"), v2=True, v_parameterization=True, report=sure)
    assert sure.noticed == []
