"""Noise, targets, attention and samplers."""

import sys
from importlib.machinery import ModuleSpec
from typing import get_args

import pytest
import torch
from diffusers import DDPMScheduler

from sd_scripts.library.errors import NotInstalled
from sd_scripts.library.models import attention, schedule
from sd_scripts.library.models.sd import load
from sd_scripts.options.training import Samplers


@pytest.fixture
def sd1(models):
    return load(str(models / "sd1.safetensors"))


def test_noise_and_velocity_by_hand():
    alphas = torch.tensor([0.64, 0.36])
    latents = torch.tensor([10.0, 10.0]).view(2, 1, 1, 1)
    noise = torch.tensor([1.0, 2.0]).view(2, 1, 1, 1)
    steps = torch.tensor([0, 1])
    # 0.8 * 10 + 0.6 * 1 and 0.6 * 10 + 0.8 * 2; then 0.8 * 1 - 0.6 * 10 and 0.6 * 2 - 0.8 * 10.
    assert schedule.noisy(alphas, latents, noise, steps).flatten().tolist() == pytest.approx([8.6, 7.6])
    assert schedule.velocity(alphas, latents, noise, steps).flatten().tolist() == pytest.approx([-5.2, -6.8])


def test_the_schedule_is_the_one_that_samplers_use():
    theirs = DDPMScheduler(1000, 0.00085, 0.012, "scaled_linear")
    ours = schedule.alphas_cumprod(1000, 0.00085, 0.012)
    assert torch.equal(ours, theirs.alphas_cumprod)
    assert ours[0].item() == pytest.approx(1 - 0.00085)
    assert ours[-1].item() == pytest.approx(0.004660, abs=1e-6)


@pytest.mark.parametrize("v_parameterization", [False, True])
def test_the_target_is_the_noise_or_the_velocity(models, v_parameterization):
    family = load(str(models / "sd2.safetensors"), v2=True, v_parameterization=v_parameterization)
    latents, noise, steps = torch.randn(2, 4, 8, 8), torch.randn(2, 4, 8, 8), torch.tensor([3, 900])
    theirs = DDPMScheduler(1000, 0.00085, 0.012, "scaled_linear")
    torch.testing.assert_close(family.add_noise(latents, noise, steps), theirs.add_noise(latents, noise, steps))
    expected = theirs.get_velocity(latents, noise, steps) if v_parameterization else noise
    torch.testing.assert_close(family.target(latents, noise, steps), expected)
    assert family.unet.config.upcast_attention == v_parameterization


def test_predictions_have_the_shape_of_latents(sd1):
    latents, hidden = torch.randn(2, 4, 8, 16), torch.randn(2, 77, 16)
    assert sd1.predict(latents, torch.tensor([1, 2]), {"hidden_BLD": hidden}).shape == latents.shape


def test_pictures_become_latents_an_eighth_as_large_and_back(sd1):
    pixels = torch.rand(1, 3, 64, 128) * 2 - 1
    with torch.no_grad():
        latents = sd1.encode_images(pixels, torch.Generator().manual_seed(1))
        again = sd1.encode_images(pixels, torch.Generator().manual_seed(1))
        other = sd1.encode_images(pixels, torch.Generator().manual_seed(2))
        assert latents.shape == (1, 4, 8, 16)
        assert torch.equal(latents, again)
        assert not torch.equal(latents, other)
        assert sd1.decode_latents(latents).shape == pixels.shape
    assert sd1.latent_scale == 0.18215


def test_every_way_of_attention_gives_the_same_prediction_and_gradients(sd1, monkeypatch):
    monkeypatch.setattr(attention, "SLICE_BYTES", 4 * 8 * 64 * 24)  # So that these few tokens are several slices.
    torch.manual_seed(0)
    latents, hidden = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 16)
    found = {}
    for kind in ("default", "sdpa", "mem_eff_attn"):
        sd1.use_attention(kind)
        sd1.unet.zero_grad()
        output = sd1.predict(latents, torch.tensor([500]), {"hidden_BLD": hidden})
        output.square().mean().backward()
        grad = sd1.unet.down_blocks[0].attentions[0].transformer_blocks[0].attn2.to_k.weight.grad
        found[kind] = (output.detach(), grad.clone())
    for kind in ("sdpa", "mem_eff_attn"):
        torch.testing.assert_close(found[kind], found["default"], atol=1e-5, rtol=1e-3)
    assert {type(processor).__name__ for processor in sd1.unet.attn_processors.values()} == {"SlicedAttention"}


@pytest.mark.parametrize("kind", ["xformers", "diffusers_xformers"])
def test_missing_xformers_is_one_sentence(sd1, kind, monkeypatch):
    monkeypatch.setattr(attention, "find_spec", lambda name: None)
    with pytest.raises(NotInstalled) as caught:
        sd1.use_attention(kind)
    expected = "xformers is not installed. Install it with `./setup.sh install --xformers`, or use --sdpa."
    assert str(caught.value) == expected


def test_xformers_that_cannot_run_is_one_sentence(sd1, monkeypatch):
    monkeypatch.setattr(attention, "find_spec", lambda name: ModuleSpec(name, None))
    monkeypatch.setitem(sys.modules, "xformers", None)
    with pytest.raises(NotInstalled, match="xformers does not run on this machine .*use --sdpa"):
        sd1.use_attention("xformers")


def test_gradient_checkpointing_changes_no_gradient(sd1):
    latents, hidden = torch.randn(1, 4, 8, 8), torch.randn(1, 77, 16)
    grads = []
    for _ in range(2):
        sd1.unet.train()
        sd1.unet.zero_grad()
        sd1.predict(latents, torch.tensor([500]), {"hidden_BLD": hidden}).square().mean().backward()
        grads.append(sd1.unet.conv_in.weight.grad.clone())
        sd1.use_gradient_checkpointing()
    assert sd1.unet.is_gradient_checkpointing
    torch.testing.assert_close(grads[0], grads[1], atol=1e-6, rtol=1e-4)


@pytest.fixture(scope="module", params=["epsilon", "v_prediction"])
def family(models, request):
    v_prediction = request.param == "v_prediction"
    name = "sd2_v_folder" if v_prediction else "sd1_folder"
    return load(str(models / name), v2=v_prediction, v_parameterization=v_prediction)


# diffusers 0.42 hands tensors to numpy 2.5 in an old way.
@pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")
@pytest.mark.parametrize("sampler", get_args(Samplers))
def test_every_sampler_finds_the_picture_that_a_perfect_model_predicts(family, sampler):
    """A model that knows the answer: its prediction always points to one picture, so every sampler must end there."""
    scheduler = family.sampling_scheduler(sampler)
    assert scheduler.config.prediction_type == family.prediction_type
    assert scheduler.config.beta_start == 0.00085
    generator = torch.Generator().manual_seed(0)
    goal = torch.randn(1, 4, 8, 8, generator=generator)
    scheduler.set_timesteps(20)
    sample = torch.randn(1, 4, 8, 8, generator=generator) * scheduler.init_noise_sigma
    for step in scheduler.timesteps:
        seen = scheduler.scale_model_input(sample, step)
        alpha = perfect_alpha(family, scheduler, step)
        noise = (seen - alpha.sqrt() * goal) / (1 - alpha).sqrt()
        velocity = alpha.sqrt() * noise - (1 - alpha).sqrt() * goal
        told = velocity if family.prediction_type == "v_prediction" else noise
        sample = scheduler.step(told, step, sample).prev_sample
    # Some samplers stop where training begins, at a noise of 3 %.
    assert (sample - goal).abs().max() < 0.2


def perfect_alpha(family, scheduler, step):
    """alpha-bar at a step, which may lie between two of training."""
    sigmas = ((1 - family.alphas_T) / family.alphas_T).sqrt()
    low = sigmas[step.long()]
    high = sigmas[(step.long() + 1).clamp(max=999)]
    sigma = low + (high - low) * (step - step.long())
    return 1 / (1 + sigma**2)
