"""What is read is written back bit for bit, in every format, and other programs read it as it was meant."""

import json
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline

from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.io.checkpoints import open_checkpoint, write_safetensors
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.sd import load
from sd_scripts.library.report import Report

FILES = [("sd1.safetensors", False), ("sd1.ckpt", False), ("sd2.safetensors", True), ("sd2.ckpt", True)]
FILLED = ("logit_scale", "text_projection", "transformer.resblocks.2.")


def assert_same(first: dict, second: dict) -> None:
    assert first.keys() == second.keys()
    for name, tensor in first.items():
        assert tensor.dtype == second[name].dtype, name
        assert torch.equal(tensor, second[name]), name


@pytest.mark.parametrize("save_as", ["safetensors", "ckpt"])
@pytest.mark.parametrize(("name", "v2"), FILES)
def test_a_file_written_again_is_the_same(models: Path, tmp_path: Path, name: str, v2: bool, save_as: str):
    written = load(str(models / name), v2=v2).save(SaveRequest(tmp_path / "again.v1", save_as))
    assert written == tmp_path / f"again.v1.{save_as}"
    assert_same(open_checkpoint(models / name).read(), open_checkpoint(written).read())


@pytest.mark.parametrize(
    ("name", "v2", "through"),
    [(*file, through) for file, through in zip(FILES, ["diffusers", "diffusers_safetensors"] * 2, strict=True)],
)
def test_through_diffusers_and_back_all_that_it_represents_is_the_same(models, tmp_path, capsys, name, v2, through):
    folder = load(str(models / name), v2=v2).save(SaveRequest(tmp_path / "folder", through))
    model = load(str(folder), v2=v2)
    assert model.source_format == through
    before = open_checkpoint(models / name).read()
    after = open_checkpoint(model.save(SaveRequest(tmp_path / "back", "safetensors"))).read()
    # SD1's positions are numbers from 0 to 76 that no reader needs; SD2's tensors are filled in.
    assert before.keys() - after.keys() <= {"cond_stage_model.transformer.text_model.embeddings.position_ids"}
    for tensor_name, tensor in after.items():
        text_name = tensor_name.removeprefix("cond_stage_model.model.")
        assert tensor.dtype == before[tensor_name].dtype
        assert torch.equal(tensor, before[tensor_name]) or (v2 and text_name.startswith(FILLED)), tensor_name
    assert ("Filled in: 14 tensors of the original layout" in capsys.readouterr().err) == v2


def test_filling_is_said_once(models: Path, tmp_path: Path, capsys):
    model = load(str(models / "sd2_v_folder"), v2=True, v_parameterization=True, report=Report())
    for _ in range(2):
        model.save(SaveRequest(tmp_path / "filled", "ckpt"))
    assert capsys.readouterr().err.count("Filled in") == 1


@pytest.mark.parametrize(("name", "folder", "v2"), [("sd1", "sd1_folder", False), ("sd2", "sd2_v_folder", True)])
@pytest.mark.parametrize("save_as", ["safetensors", "ckpt"])
def test_diffusers_opens_our_single_files(models, tmp_path, name, folder, v2, save_as):
    model = load(str(models / f"{name}.safetensors"), v2=v2)
    written = model.save(SaveRequest(tmp_path / "ours", save_as))
    pipeline = StableDiffusionPipeline.from_single_file(
        str(written), config=str(models / folder), local_files_only=True, safety_checker=None
    )
    assert_pipeline_has(pipeline, model)


@pytest.mark.parametrize("save_as", ["diffusers", "diffusers_safetensors"])
@pytest.mark.parametrize(("name", "v2"), [("sd1.safetensors", False), ("sd2.safetensors", True)])
def test_diffusers_opens_our_folders(models, tmp_path, name, v2, save_as):
    model = load(str(models / name), v2=v2, v_parameterization=v2)
    folder = model.save(SaveRequest(tmp_path / "ours", save_as))
    pipeline = StableDiffusionPipeline.from_pretrained(folder, local_files_only=True)
    assert_pipeline_has(pipeline, model)
    assert pipeline.scheduler.config.prediction_type == ("v_prediction" if v2 else "epsilon")
    assert pipeline.tokenizer("a photo of a cat").input_ids == [49406, 320, 1125, 539, 320, 2368, 49407]
    assert pipeline.tokenizer.pad_token_id == (0 if v2 else 49407)
    for file in ("vocab.json", "merges.txt"):
        assert (folder / "tokenizer" / file).stat().st_size > 500_000
    # Older versions of transformers find nothing under names without text_model.
    files = [*(folder / "text_encoder").glob("*.safetensors"), *(folder / "text_encoder").glob("*.bin")]
    assert all(name.startswith("text_model.") for name in open_checkpoint(files[0]).shapes)
    with torch.inference_mode():
        image = pipeline("a cat", num_inference_steps=2, height=64, width=64, output_type="np").images[0]
    assert image.shape == (64, 64, 3)


def assert_pipeline_has(pipeline, model) -> None:
    for part in ("unet", "vae", "text_encoder"):
        ours = {name: tensor.float() for name, tensor in getattr(model, part).state_dict().items()}
        theirs = {name: tensor.float() for name, tensor in getattr(pipeline, part).state_dict().items()}
        assert_same(ours, theirs)


def test_precision_is_of_unet_and_text_encoder_and_the_vae_keeps_its_own(models: Path, tmp_path: Path):
    model = load(str(models / "sd1.ckpt"))
    model.unet.float()
    model.vae.float()
    written = open_checkpoint(model.save(SaveRequest(tmp_path / "half", "safetensors", torch.bfloat16)))
    dtypes = {name.split(".")[0]: tensor.dtype for name, tensor in written.read().items() if tensor.is_floating_point()}
    assert dtypes == {
        "model": torch.bfloat16,
        "cond_stage_model": torch.bfloat16,
        "first_stage_model": torch.float16,
    }
    own = open_checkpoint(model.save(SaveRequest(tmp_path / "own", "safetensors"))).read()
    assert own["model.diffusion_model.out.2.weight"].dtype == torch.float32


def test_sd2s_unused_block_follows_the_dtype_of_the_others(models: Path, tmp_path: Path):
    model = load(str(models / "sd2.ckpt"), v2=True)
    written = model.save(SaveRequest(tmp_path / "wide", "safetensors", torch.float32))
    text = open_checkpoint(written).read("cond_stage_model.model.")
    assert {tensor.dtype for tensor in text.values()} == {torch.float32}


def test_metadata_is_in_the_header(models: Path, tmp_path: Path):
    model = load(str(models / "sd2.safetensors"), v2=True, v_parameterization=True)
    request = SaveRequest(tmp_path / "told", "safetensors", metadata={"ss_seed": "42", "modelspec.title": "Mine"})
    metadata = open_checkpoint(model.save(request)).metadata
    assert metadata["ss_seed"] == "42"
    assert metadata["modelspec.title"] == "Mine"
    assert metadata["modelspec.architecture"] == "stable-diffusion-v2-768-v"
    assert metadata["modelspec.prediction_type"] == "v"
    assert metadata["modelspec.resolution"] == "768x768"
    assert metadata["modelspec.sai_model_spec"] == "1.0.1"
    assert not any(str(tmp_path) in value for value in metadata.values())


def test_what_is_no_part_of_the_model_is_kept_but_stale_averages_are_not(models: Path, tmp_path: Path):
    tensors = open_checkpoint(models / "sd1.safetensors").read()
    tensors |= {"betas": torch.arange(3.0), "model_ema.decay": torch.tensor(0.9)}
    write_safetensors(tmp_path / "more.safetensors", tensors)
    after = load(str(tmp_path / "more.safetensors")).save(SaveRequest(tmp_path / "after", "safetensors", torch.float16))
    read = open_checkpoint(after).read()
    assert torch.equal(read["betas"], torch.arange(3.0))
    assert "model_ema.decay" not in read


def test_a_text_encoder_without_its_wrapper_is_read_and_saved_with_it(models: Path, tmp_path: Path):
    tensors = open_checkpoint(models / "sd1.safetensors").read()
    bare = {name.replace(".text_model.", "."): tensor for name, tensor in tensors.items()}
    write_safetensors(tmp_path / "bare.safetensors", bare)
    after = load(str(tmp_path / "bare.safetensors")).save(SaveRequest(tmp_path / "after", "safetensors"))
    read = open_checkpoint(after).read()
    read.pop("cond_stage_model.transformer.embeddings.position_ids", None)
    tensors.pop("cond_stage_model.transformer.text_model.embeddings.position_ids")
    assert_same(tensors, read)


def test_a_folder_does_not_tell_where_it_was_read_from(models: Path, tmp_path: Path):
    folder = load(str(models / "sd1_folder")).save(SaveRequest(tmp_path / "copy", "diffusers_safetensors"))
    for file in folder.rglob("*.json"):
        assert str(models) not in file.read_text(encoding="utf-8")
    assert json.loads((folder / "text_encoder/config.json").read_text())["architectures"] == ["CLIPTextModel"]


def test_a_source_may_be_overwritten_by_its_own_training(tmp_path: Path):
    path = make_sd1(tmp_path / "own.safetensors", seed=3)
    model = load(str(path))
    with torch.no_grad():
        model.unet.conv_out.bias += 1
    before = {name: tensor.clone() for name, tensor in model.unet.state_dict().items()}
    model.save(SaveRequest(tmp_path / "own", "safetensors"))
    assert_same(before, load(str(path)).unet.state_dict())


@pytest.mark.parametrize("name", ["sd1.safetensors", "sd1.ckpt"])
def test_training_a_model_leaves_its_file_as_it_was(models: Path, name: str):
    before = (models / name).read_bytes()
    model = load(str(models / name))
    with torch.no_grad():
        for parameter in [*model.unet.parameters(), *model.text_encoder.parameters()]:
            parameter.zero_()
    assert (models / name).read_bytes() == before


def test_tiny_models_are_the_same_for_the_same_seed(models: Path, tmp_path: Path):
    again, other = make_sd1(tmp_path / "again.safetensors"), make_sd1(tmp_path / "other.safetensors", seed=1)
    first = (models / "sd1.safetensors").read_bytes()
    assert again.read_bytes() == first
    assert other.read_bytes() != first
    assert len(first) < 20_000_000
