"""Networks beside SDXL: both text encoders, and files that diffusers reads and answers as our trainer does."""

import json
import warnings

import pytest
import torch
from safetensors import safe_open

from sd_scripts.library.example.sd_models import make_sdxl
from sd_scripts.library.models.adaptable import sdxl_layers
from sd_scripts.library.models.configs import base_config
from sd_scripts.library.models.family import SaveRequest, TextSettings
from sd_scripts.library.models.sdxl import load
from tests.networks.tiny import saved
from tests.networks.tiny_sdxl import train_sdxl_network
from tests.train.tiny import tiny_data
from tests.train.tiny_sdxl import tiny_sdxl

KINDS = {"linear": [], "conv": ["conv_dim=2", "conv_alpha=1"]}
SIZES_B6 = torch.tensor([[64.0, 64.0, 0.0, 0.0, 64.0, 64.0]])


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    """A model, and the same one in diffusers' pipeline."""
    from diffusers import StableDiffusionXLPipeline

    folder = tmp_path_factory.mktemp("sdxl")
    path = str(make_sdxl(folder / "base.safetensors"))
    load(path).save(SaveRequest(folder / "pipeline", "diffusers_safetensors"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pipeline = StableDiffusionXLPipeline.from_pretrained(folder / "pipeline", local_files_only=True)
    return lambda: load(path), pipeline


def noisy():
    return torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(3))


@torch.no_grad()
def our_answers(family, tokens):
    """What the text encoders make of a text, and what the U-Net then makes of some noise."""
    conditions = family.encode_text(tokens, TextSettings())
    answer = family.predict(noisy(), torch.tensor([400]), conditions | {"sizes_B6": SIZES_B6})
    return [*conditions.values(), answer]


@torch.no_grad()
def their_answers(pipeline, tokens):
    one = pipeline.text_encoder(tokens["tokens1_BL"], output_hidden_states=True).hidden_states[-2]
    second = pipeline.text_encoder_2(tokens["tokens2_BL"], output_hidden_states=True)
    two = second.hidden_states[-2]
    added = {"text_embeds": second.text_embeds, "time_ids": SIZES_B6}
    hidden_BLD = torch.cat([one, two], dim=2)
    answer = pipeline.unet(noisy(), torch.tensor([400]), encoder_hidden_states=hidden_BLD, added_cond_kwargs=added)
    return [one, two, second.text_embeds, answer.sample]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_diffusers_answers_as_our_trainer_does(base, kind, tmp_path):
    make, pipeline = base
    family = make()
    tokens = family.tokenize(["a red cat"], TextSettings())
    plain = our_answers(family, tokens)
    sizes = {"network_dim": 3, "network_alpha": 2, "learning_rate": 1e-2, "network_args": KINDS[kind] or None}
    trainer, _ = train_sdxl_network(tmp_path, family, **sizes, text_encoder_lr=[2e-2, 1e-2])
    trainer.learner.rest()
    ours = our_answers(family, tokens)
    pipeline.load_lora_weights(tmp_path / "out" / "X.safetensors")
    try:
        theirs = their_answers(pipeline, tokens)
    finally:
        pipeline.unload_lora_weights()
    for own, other, before in zip(ours, theirs, plain, strict=True):
        assert (own - before).norm() > 0.01 * before.norm()
        torch.testing.assert_close(own, other, rtol=1e-3, atol=1e-4)
    told = safe_open(tmp_path / "out" / "X.safetensors", "pt").metadata()
    assert told["modelspec.architecture"] == "stable-diffusion-xl-v1-base/lora"
    assert (told["ss_base_model_version"], told["ss_text_encoder_lr"]) == ("sdxl_base_v1-0", "[0.02, 0.01]")


@pytest.mark.filterwarnings("ignore")
def test_the_names_of_the_true_size_are_those_that_diffusers_has_places_for():
    from diffusers import StableDiffusionXLPipeline, UNet2DConditionModel
    from diffusers.utils import convert_state_dict_to_peft, convert_unet_state_dict_to_peft
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

    known = base_config("sdxl")
    with torch.device("meta"):
        unet = UNet2DConditionModel.from_config(known["unet"])
        kinds = {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection}
        texts = {part: kind(CLIPTextConfig(**known[part])) for part, kind in kinds.items()}
    adaptable = sdxl_layers(unet, dict(zip(("text_encoder1", "text_encoder2"), texts.values(), strict=True)))
    keys = [layer.key for layer in adaptable.layers]
    assert len(keys) == len(set(keys)) == 1052
    file = {}
    for layer in adaptable.layers:
        wide = layer.module.weight.ndim == 4
        inner, outer = layer.module.weight.shape[1], layer.module.weight.shape[0]
        file[f"{layer.key}.lora_down.weight"] = torch.zeros(1, inner, *layer.module.kernel_size if wide else ())
        file[f"{layer.key}.lora_up.weight"] = torch.zeros(outer, 1, *(1, 1) if wide else ())
        file[f"{layer.key}.alpha"] = torch.tensor(1.0)
    theirs, _ = StableDiffusionXLPipeline.lora_state_dict(file, unet_config=unet.config)
    for part, module in {"unet": unet, **texts}.items():
        own = {name.removeprefix(f"{part}."): one for name, one in theirs.items() if name.startswith(f"{part}.")}
        named = convert_unet_state_dict_to_peft(own) if part == "unet" else convert_state_dict_to_peft(own)
        places = {name.removesuffix(".lora_A.weight") for name in named if name.endswith(".lora_A.weight")}
        # Newer transformers have no level text_model.
        there = {name.removeprefix("text_model.") for name, _ in module.named_modules()}
        assert len(places) == {"unet": 788, "text_encoder": 72, "text_encoder_2": 192}[part]
        assert {name.removeprefix("text_model.") for name in places} <= there, part


def test_each_text_encoder_is_a_part_with_its_rate(tmp_path):
    trainer, recorder = train_sdxl_network(tmp_path, text_encoder_lr=[1e-4, 2e-4], max_train_steps=1)
    rates = {name: rate for name, rate in recorder.of("metric")[0].values.items() if name.startswith("lr/")}
    assert rates == {"lr/unet": 1e-3, "lr/text_encoder1": 1e-4, "lr/text_encoder2": 2e-4}
    assert set(trainer.method.trained()) == {"unet", "text_encoder1", "text_encoder2"}
    assert "of text encoder 1" in recorder.said and "text encoder 2 by" in recorder.said


def test_blocks_have_ranks_and_rates_of_their_own(tmp_path):
    ranks = [2] * 10 + [4] * 3 + [0] * 10
    asked = ["block_dims=" + ",".join(map(str, ranks)), "down_lr_weight=linear+1"]
    trainer, recorder = train_sdxl_network(tmp_path, network_args=asked, unet_lr=1e-3, max_train_steps=1)
    assert {adapter.rank for adapter in trainer.method.network.unet_loras} == {2, 4}
    rates = {name: rate for name, rate in recorder.of("metric")[0].values.items() if name.startswith("lr/unet")}
    assert rates["lr/unet_block9"] == pytest.approx(2e-3) and rates["lr/unet_block11"] == 1e-3
    assert not any(name.startswith("lora_unet_output_blocks") for name in saved(tmp_path))


@pytest.mark.parametrize(("rates", "left"), [([1e-3, 0.0], "lora_te1_"), ([0.0, 1e-3], "lora_te2_")])
def test_one_text_encoder_alone(tmp_path, rates, left):
    _, recorder = train_sdxl_network(tmp_path, text_encoder_lr=rates, max_train_steps=1)
    assert {name[:9] for name in saved(tmp_path) if "_te" in name} == {left}
    told = [name for name in recorder.of("metric")[0].values if name.startswith("lr/text")]
    assert told == [f"lr/text_encoder{left[7]}"]


def test_one_picture_is_learnt_by_heart(tmp_path):
    given = {"max_train_steps": 25, "learning_rate": 1e-2, "network_dim": 16, "network_alpha": 16}
    given |= {"network_args": ["conv_dim=16", "conv_alpha=16"], "min_timestep": 900, "max_timestep": 901}
    _, recorder = train_sdxl_network(tmp_path, data=tiny_data(1), **given)
    assert sum(recorder.losses[-5:]) < 0.6 * sum(recorder.losses[:5])


def test_what_is_gone_on_from_is_the_same(tmp_path):
    """With DoRA, from a state before the text encoders stop and from one after."""
    given = {"max_train_steps": 5, "save_state": True, "save_every_n_steps": 2, "stop_text_encoder_training": 3}
    given |= {"network_args": ["dora_wd=True", "conv_dim=2"], "network_dropout": 0.2, "learning_rate": 1e-2}
    _, whole = train_sdxl_network(tmp_path, **given)
    ends = saved(tmp_path)
    assert json.loads(safe_open(tmp_path / "out" / "X.safetensors", "pt").metadata()["ss_network_args"])["conv_dim"]
    for step in (2, 4):
        state = tmp_path / "out" / f"X-step0000000{step}-state"
        _, again = train_sdxl_network(tmp_path / str(step), tiny_sdxl(), **given, resume=str(state))
        assert again.losses == whole.losses[step:]
        own = saved(tmp_path / str(step))
        assert all(torch.equal(tensor, own[name]) for name, tensor in ends.items())
