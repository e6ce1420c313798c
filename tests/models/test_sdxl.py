"""SDXL: true names, round trips, and the same numbers as diffusers' pipeline."""

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
import transformers
from diffusers import AutoencoderKL, StableDiffusionXLPipeline, UNet2DConditionModel
from diffusers.loaders import single_file_utils

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.example.sd_models import make_sdxl
from sd_scripts.library.io.checkpoints import open_checkpoint, write_safetensors
from sd_scripts.library.io.drafts import Held
from sd_scripts.library.models import configs, saving, sdxl
from sd_scripts.library.models.family import SaveRequest, TextSettings
from sd_scripts.library.models.layout.unet import block_of, names_of
from sd_scripts.library.models.sd import load as load_sd
from sd_scripts.library.models.sdxl_variant import OPEN_CLIP_G, SDXL
from sd_scripts.library.models.vae import load_vae
from tests.models import golden_sdxl
from tests.models.golden import golden
from tests.models.test_round_trips import assert_same

TEXTS = ["a photo of a cat", "two dogs"]
CLIP1, CLIP2 = "conditioner.embedders.0.transformer.", "conditioner.embedders.1.model."


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return make_sdxl(tmp_path_factory.mktemp("sdxl") / "sdxl.safetensors")


@pytest.fixture(scope="module")
def model(file):
    return sdxl.load(str(file))


@pytest.fixture(scope="module")
def folder(model, tmp_path_factory) -> Path:
    return model.save(SaveRequest(tmp_path_factory.mktemp("sdxl") / "folder", "diffusers_safetensors"))


@pytest.fixture(scope="module")
def pipeline(folder):
    return StableDiffusionXLPipeline.from_pretrained(folder, local_files_only=True)


def test_a_true_size_file_has_the_original_names_and_shapes(monkeypatch):
    known = configs.base_config("sdxl")
    with torch.device("meta"):
        texts = {
            text.folder: getattr(transformers, text.kind)(transformers.CLIPTextConfig(**known[text.folder]))
            for text in SDXL.texts
        }
        true_size = SimpleNamespace(
            variant=SDXL,
            unet=UNet2DConditionModel.from_config(known["unet"]),
            vae=AutoencoderKL.from_config(known["vae"]),
            text_encoders=texts,
            vae_dtype=torch.float32,
            rest={},
        )
    # Tensors without memory cannot come to the CPU, so they stay where they are.
    monkeypatch.setattr(Held, "converted", lambda held: held.tensors)
    written = {name: tuple(tensor.shape) for name, tensor in saving.original_tensors(true_size, None).items()}
    parts = {
        "model.diffusion_model.": golden_sdxl.unet(),
        "first_stage_model.": golden("vae"),
        CLIP1: golden("text_sd1"),
        CLIP2: golden_sdxl.open_clip(),
    }
    assert written == {prefix + name: shape for prefix, part in parts.items() for name, shape in part.items()}
    assert len(parts["model.diffusion_model."]) == 1680


def test_dimensions_are_read_from_true_size_weights():
    known = configs.base_config("sdxl")
    blank = {**known["unet"], "block_out_channels": [32], "layers_per_block": 9, "cross_attention_dim": 1}
    blank |= {"transformer_layers_per_block": [1], "addition_time_embed_dim": 1, "attention_head_dim": 1}
    blank |= {"projection_class_embeddings_input_dim": 1, "down_block_types": [], "up_block_types": []}
    found = configs.with_pooled(configs.unet_config(golden_sdxl.unet(), blank), 1280)
    assert found == known["unet"]
    blank = known["text_encoder_2"] | {"hidden_size": 1, "num_hidden_layers": 1, "projection_dim": 1}
    assert OPEN_CLIP_G.read_config(golden_sdxl.open_clip(), blank) == known["text_encoder_2"]


def test_diffusers_own_converter_agrees_on_every_name():
    config = configs.base_config("sdxl")["unet"]
    numbered = {name: torch.tensor(index) for index, name in enumerate(golden_sdxl.unet())}
    prefixed = {f"model.diffusion_model.{name}": tensor for name, tensor in numbered.items()}
    theirs = single_file_utils.convert_ldm_unet_checkpoint(prefixed, {**config, "class_embed_type": None})
    assert theirs == {names_of(config).to_diffusers(name): tensor for name, tensor in numbered.items()}


def test_the_23_blocks_of_the_unet(model):
    config = configs.base_config("sdxl")["unet"]
    firsts = {"time_embed.0.weight": 0, "label_emb.0.2.bias": 0, "input_blocks.0.0.weight": 1, "input_blocks.8.1.x": 9}
    lasts = {"middle_block.0.x": 10, "middle_block.2.x": 12, "output_blocks.0.0.x": 13, "output_blocks.8.0.x": 21}
    for name, block in {**firsts, **lasts, "out.0.weight": 22, "out.2.bias": 22}.items():
        assert block_of(name, config) == block, name
    blocks = model.unet_blocks()
    assert len(blocks) == 23 and all(blocks)
    assert sum(map(len, blocks)) == len(list(model.unet.parameters()))
    assert blocks[1][0] is model.unet.conv_in.weight


@pytest.mark.parametrize("save_as", ["safetensors", "ckpt"])
def test_a_file_written_again_is_the_same(file, model, tmp_path, save_as):
    written = model.save(SaveRequest(tmp_path / "again", save_as))
    assert_same(open_checkpoint(file).read(), open_checkpoint(written).read())
    again = sdxl.load(str(written)).save(SaveRequest(tmp_path / "half", "safetensors", torch.float16))
    dtypes = {tensor.dtype for name, tensor in open_checkpoint(again).read("conditioner.").items() if "ids" not in name}
    assert dtypes == {torch.float16}


@pytest.mark.parametrize("through", ["diffusers", "diffusers_safetensors"])
def test_through_a_folder_and_back_all_is_the_same(file, model, tmp_path, through):
    again = sdxl.load(str(model.save(SaveRequest(tmp_path / "folder", through))))
    assert again.source_format == through
    before, after = (
        open_checkpoint(file).read(),
        open_checkpoint(again.save(SaveRequest(tmp_path / "b", "ckpt"))).read(),
    )
    assert before.keys() - after.keys() == {f"{CLIP1}text_model.embeddings.position_ids"}
    assert after.pop(f"{CLIP2}logit_scale").item() == pytest.approx(4.6052, abs=1e-4)
    assert_same({name: before[name] for name in after}, after)


def test_the_header_says_what_it_is(model, tmp_path):
    metadata = open_checkpoint(model.save(SaveRequest(tmp_path / "told", "safetensors"))).metadata
    assert metadata["modelspec.architecture"] == "stable-diffusion-xl-v1-base"
    assert metadata["modelspec.resolution"] == "1024x1024"
    assert model.base_version == "sdxl_base_v1-0"


def test_diffusers_opens_our_files(model, pipeline, folder, file):
    theirs = StableDiffusionXLPipeline.from_single_file(str(file), config=str(folder), local_files_only=True)
    parts = {"unet": model.unet, "vae": model.vae, "text_encoder": model.text_encoder1}
    for name, ours in {**parts, "text_encoder_2": model.text_encoder2}.items():
        for found in (theirs, pipeline):
            assert_same(ours.state_dict(), getattr(found, name).state_dict())
    assert pipeline.tokenizer_2.pad_token_id == 0 and pipeline.tokenizer.pad_token_id == 49407
    assert type(pipeline.scheduler).__name__ == "EulerDiscreteScheduler"


def test_texts_and_predictions_are_those_of_diffusers(model, pipeline):
    settings = TextSettings()
    with torch.no_grad():
        ours = model.encode_text(model.tokenize(TEXTS, settings), settings)
        theirs, _, pooled, _ = pipeline.encode_prompt(TEXTS, do_classifier_free_guidance=False)
        torch.testing.assert_close(torch.cat([ours["hidden1_BLD"], ours["hidden2_BLD"]], dim=2), theirs)
        torch.testing.assert_close(ours["pooled_BD"], pooled)
        sizes = pipeline._get_add_time_ids((96, 128), (3, 5), (64, 72), torch.float32, pooled.shape[1])
        latents = torch.randn(2, 4, 8, 9, generator=torch.Generator().manual_seed(1))
        added = {"text_embeds": pooled, "time_ids": sizes.repeat(2, 1)}
        expected = pipeline.unet(latents, 500, encoder_hidden_states=theirs, added_cond_kwargs=added).sample
        found = model.predict(latents, torch.tensor([500, 500]), {**ours, "sizes_B6": sizes.repeat(2, 1)})
        torch.testing.assert_close(found, expected)
        other = model.predict(latents, torch.tensor([500, 500]), {**ours, "sizes_B6": sizes.repeat(2, 1) + 64})
    assert not torch.allclose(found, other)
    assert model.latent_scale == 0.13025


def test_long_and_weighted_texts(model):
    long = TextSettings(max_tokens=150)
    text = "a red cat, " * 30
    with torch.no_grad():
        whole = model.encode_text(model.tokenize([text], long), long)
        first = model.encode_text(model.tokenize(["a red cat, " * 18 + "a red cat"], TextSettings()), TextSettings())
        weighed = model.encode_text(model.tokenize([text.replace("red", "(red:1.5)")], long, weighted=True), long)
        plain = model.encode_text(model.tokenize([text], long, weighted=True), long)
    assert whole["hidden1_BLD"].shape == (1, 152, 16) and whole["hidden2_BLD"].shape == (1, 152, 24)
    # The first 75 tokens are a chunk by itself, and they alone are pooled.
    torch.testing.assert_close(whole["hidden2_BLD"][:, :76], first["hidden2_BLD"][:, :76])
    torch.testing.assert_close(whole["pooled_BD"], first["pooled_BD"])
    torch.testing.assert_close(plain["hidden1_BLD"], whole["hidden1_BLD"])
    torch.testing.assert_close(weighed["pooled_BD"], whole["pooled_BD"])
    for part in ("hidden1_BLD", "hidden2_BLD"):
        assert not torch.allclose(weighed[part], whole[part])


def test_what_no_prediction_depends_on_is_frozen(file):
    model = sdxl.load(str(file))
    model.use_gradient_checkpointing()
    for module in (model.unet, *model.text_encoders.values()):
        module.requires_grad_(True).train()
    model.freeze_unused()
    conditions = model.encode_text(model.tokenize(["a cat"], TextSettings()), TextSettings())
    conditions["sizes_B6"] = torch.tensor([[64.0, 64, 0, 0, 64, 64]])
    model.predict(torch.randn(1, 4, 8, 8), torch.tensor([500]), conditions).square().mean().backward()
    for name, module in (("unet", model.unet), *model.text_encoders.items()):
        missing = [key for key, weight in module.named_parameters() if weight.requires_grad and weight.grad is None]
        assert missing == [], name
    assert model.text_encoder1.final_layer_norm.weight.grad is None


def test_a_vae_of_its_own_and_one_given(file, folder, tmp_path):
    own = load_vae(str(file))
    assert own.scale == 0.13025
    with pytest.raises(BadOption, match="is an SDXL model: leave out --v2"):
        load_vae(str(file), v2=True)
    fixed = open_checkpoint(make_sdxl(tmp_path / "other.safetensors", seed=5)).read("first_stage_model.")
    write_safetensors(tmp_path / "fixed_vae.safetensors", fixed)
    model = sdxl.load(str(file), vae=str(tmp_path / "fixed_vae.safetensors"))
    assert model.latent_scale == 0.13025
    assert load_vae(str(folder)).hash == own.hash != load_vae(str(tmp_path / "fixed_vae.safetensors")).hash
    written = open_checkpoint(model.save(SaveRequest(tmp_path / "with", "safetensors"))).read("first_stage_model.")
    assert_same(fixed, written)


def test_models_of_another_kind_are_named(file, folder, models, tmp_path):
    for path in (file, folder):
        with pytest.raises(BadFile, match="is an SDXL model.*Use sdxl_train_network.py, or sdxl_train.py"):
            load_sd(str(path))
    for name in ("sd1.safetensors", "sd1_folder", "sd2.ckpt"):
        with pytest.raises(BadFile, match="is a Stable Diffusion . model, and this program trains SDXL"):
            sdxl.load(str(models / name))
    tensors = open_checkpoint(file).read()
    refiner = {
        name.replace(CLIP2, "conditioner.embedders.0.model."): t for name, t in tensors.items() if CLIP1 not in name
    }
    write_safetensors(tmp_path / "refiner.safetensors", refiner)
    with pytest.raises(BadFile, match="lacks a text encoder, as SDXL's refiner does"):
        sdxl.load(str(tmp_path / "refiner.safetensors"))


def test_a_model_that_predicts_velocity_says_so(file, tmp_path):
    tensors = open_checkpoint(file).read() | {"v_pred": torch.zeros(0)}
    write_safetensors(tmp_path / "v.safetensors", tensors)
    with pytest.raises(BadOption, match="says that it predicts velocity: add --v_parameterization"):
        sdxl.load(str(tmp_path / "v.safetensors"))
    model = sdxl.load(str(tmp_path / "v.safetensors"), v_parameterization=True)
    assert model.prediction_type == "v_prediction"
    model.use_zero_terminal_snr()
    assert model.alphas_T[-1] == 0
    assert model.sampling_scheduler("euler").config.rescale_betas_zero_snr
    assert_same(tensors, open_checkpoint(model.save(SaveRequest(tmp_path / "again", "safetensors"))).read())


def test_a_file_is_read_whole_when_asked(file):
    model = sdxl.load(str(file), mapped=False)
    assert_same(open_checkpoint(file).read(), saving.original_tensors(model, None) | model.rest)
    maps = Path("/proc/self/maps")
    if maps.is_file():
        before = maps.read_text().count(str(file))
        kept = open_checkpoint(file, mapped=False)
        assert maps.read_text().count(str(file)) == before and kept.shapes
