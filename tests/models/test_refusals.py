"""Files that are no model, and options that do not fit the model: one sentence each."""

import json
import shutil
import signal
from pathlib import Path

import pytest
import torch

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import open_checkpoint, write_ckpt, write_safetensors
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.sd import load


def refusal(path: Path, **options) -> str:
    with pytest.raises((BadFile, BadOption)) as caught:
        load(str(path), **options)
    return str(caught.value).replace(str(path), "FILE")


def test_no_model_at_all(tmp_path: Path):
    (tmp_path / "text.safetensors").write_text("this is no model")
    (tmp_path / "empty.safetensors").write_bytes(b"")
    (tmp_path / "text.ckpt").write_text("this is no model")
    (tmp_path / "empty.ckpt").write_bytes(b"")
    (tmp_path / "folder").mkdir()
    write_ckpt(tmp_path / "nothing.ckpt", {})
    for name in ("text.safetensors", "empty.safetensors"):
        assert refusal(tmp_path / name).startswith("FILE is no .safetensors file, or it is incomplete")
    for name in ("text.ckpt", "empty.ckpt"):
        assert refusal(tmp_path / name) == "FILE is no checkpoint, or it is incomplete. Download or copy it again."
    assert refusal(tmp_path / "nothing.ckpt").startswith("FILE holds no tensors, so it is no model and no network.")
    assert refusal(tmp_path / "folder") == "FILE is no diffusers model: it has no unet folder with a config.json."
    missing = "FILE: there is no such file or folder. Name a model file, a diffusers folder or a hub id."
    assert refusal(tmp_path / "missing.safetensors") == missing
    assert refusal(tmp_path / "missing") == missing


@pytest.mark.parametrize("name", ["sd1.safetensors", "sd1.ckpt"])
def test_a_download_that_broke_off(models: Path, tmp_path: Path, name: str):
    path = tmp_path / name
    path.write_bytes((models / name).read_bytes()[:5_000_000])
    assert "or it is incomplete" in refusal(path)


@pytest.mark.parametrize(
    ("names", "sentence"),
    [
        (["lora_unet_mid.lora_down.weight"], "FILE is a LoRA, not a whole model. Name the model that it belongs to."),
        (
            ["model.diffusion_model.input_blocks.0.0.weight", "conditioner.embedders.0.x"],
            "FILE is an SDXL model, and this program trains Stable Diffusion 1 and 2. Use sdxl_train_network.py, "
            "or sdxl_train.py for whole models.",
        ),
        (
            ["decoder.conv_in.weight"],
            "FILE holds only a VAE, not a whole model. Name it with --vae, and a model besides.",
        ),
        (
            ["emb_params"],
            "FILE is no Stable Diffusion model: it lacks a U-Net or a text encoder. Name a model of version 1 or 2.",
        ),
        (
            ["model.diffusion_model.input_blocks.0.0.weight"],
            "FILE is no Stable Diffusion model: it lacks a U-Net or a text encoder. Name a model of version 1 or 2.",
        ),
        (
            ["model.diffusion_model.input_blocks.0.0.weight", "cond_stage_model.transformer.text_model.x"],
            "FILE holds no VAE of its own. Name one with --vae.",
        ),
    ],
)
def test_another_kind_of_model(tmp_path: Path, names: list[str], sentence: str):
    for path in (tmp_path / "other.safetensors", tmp_path / "other.ckpt"):
        write = write_ckpt if path.suffix == ".ckpt" else write_safetensors
        write(path, {name: torch.zeros(1, 1) for name in names})
        assert refusal(path).startswith(sentence)


def test_a_model_without_a_vae_takes_another(models: Path, tmp_path: Path):
    names = [
        name for name in open_checkpoint(models / "sd1.safetensors").shapes if name.startswith("first_stage_model.")
    ]
    path = changed(models, tmp_path / "bare.safetensors", lambda t: [t.pop(name) for name in names])
    assert refusal(path) == "FILE holds no VAE of its own. Name one with --vae."
    assert load(str(path), vae=str(models / "sd1_folder")).latent_scale == 0.18215


def test_flags_that_disagree_with_the_model(models: Path):
    for name in ("sd1.safetensors", "sd1_folder"):
        assert refusal(models / name, v2=True) == "FILE is a Stable Diffusion 1 model: leave out --v2."
    for name in ("sd2.safetensors", "sd2.ckpt", "sd2_v_folder"):
        assert refusal(models / name) == "FILE is a Stable Diffusion 2 model: add --v2."
    expected = "FILE says that it predicts velocity: add --v_parameterization."
    assert refusal(models / "sd2_v_folder", v2=True) == expected
    expected = "FILE says that it predicts noise: leave out --v_parameterization."
    assert refusal(models / "sd1_folder", v_parameterization=True) == expected
    with pytest.raises(BadOption) as caught:
        load(str(models / "sd2_v_folder"), v2=True)
    assert caught.value.option == "v_parameterization"
    with pytest.raises(BadOption) as caught:
        load(str(models / "sd2.safetensors"))
    assert caught.value.option == "v2"


def test_a_files_own_metadata_tells_what_it_predicts(models: Path, tmp_path: Path):
    model = load(str(models / "sd2.safetensors"), v2=True, v_parameterization=True)
    path = model.save(SaveRequest(tmp_path / "v", "safetensors"))
    assert refusal(path, v2=True) == "FILE says that it predicts velocity: add --v_parameterization."
    assert load(str(path), v2=True, v_parameterization=True).prediction_type == "v_prediction"


def changed(models: Path, path: Path, change) -> Path:
    tensors = open_checkpoint(models / "sd1.safetensors").read()
    change(tensors)
    write_safetensors(path, tensors)
    return path


def test_missing_unknown_and_misshapen_tensors_are_named(models: Path, tmp_path: Path):
    unet, text = "model.diffusion_model.", "cond_stage_model.transformer.text_model."
    path = changed(models, tmp_path / "1.safetensors", lambda t: t.pop(f"{unet}middle_block.0.in_layers.0.bias"))
    expected = "FILE has no tensor mid_block.resnets.0.norm1.bias, so it is incomplete or of another kind of model."
    assert refusal(path) == expected
    path = changed(
        models, tmp_path / "2.safetensors", lambda t: t.update({f"{unet}label_emb.0.weight": torch.zeros(1)})
    )
    assert "has an unknown tensor label_emb.0.weight" in refusal(path)
    path = changed(models, tmp_path / "3.safetensors", lambda t: t.update({f"{unet}out.0.bias": torch.zeros(3)}))
    assert refusal(path) == "FILE: conv_norm_out.bias has the shape (3,), where (32,) fits."
    path = changed(models, tmp_path / "4.safetensors", lambda t: t.pop(f"{text}final_layer_norm.bias"))
    assert "has no tensor final_layer_norm.bias" in refusal(path)
    wide = {f"{unet}input_blocks.0.0.weight": torch.zeros(32, 9, 3, 3)}
    path = changed(models, tmp_path / "5.safetensors", lambda t: t.update(wide))
    assert refusal(path).startswith("FILE takes 9 channels, as inpainting models do")


def test_missing_tensors_that_tell_dimensions(models: Path, tmp_path: Path):
    whole = open_checkpoint(models / "sd1.safetensors").read()
    for part in (
        "model.diffusion_model.middle_block.1.",
        "model.diffusion_model.input_blocks.1.",
        "cond_stage_model.transformer.text_model.encoder.",
        "first_stage_model.encoder.down.2.",
        "first_stage_model.encoder.",
    ):
        path = tmp_path / "torn.safetensors"
        write_safetensors(path, {name: tensor for name, tensor in whole.items() if not name.startswith(part)})
        assert refusal(path).startswith("FILE is incomplete: it lacks layers.")


def test_broken_folders(models: Path, tmp_path: Path):
    folder = tmp_path / "broken"
    shutil.copytree(models / "sd1_folder", folder)
    (folder / "text_encoder" / "model.safetensors").unlink()
    assert "has no weights in it" in refusal(folder)
    (folder / "unet" / "config.json").write_text("{")
    assert "cannot be read as JSON" in refusal(folder)
    (folder / "unet" / "config.json").write_text(json.dumps([1]))
    assert "is no JSON object" in refusal(folder)
    (folder / "text_encoder_2").mkdir()
    (folder / "unet" / "config.json").write_text("{}")
    assert refusal(folder).startswith("FILE is an SDXL model")


def test_a_hub_that_cannot_be_reached(monkeypatch, tmp_path: Path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    sentence = refusal(Path("someone/some-model"))
    assert sentence.startswith("FILE is no file or folder here, and the hub cannot be reached (")
    assert sentence.endswith("Name a local model, or connect to the network.")


@pytest.mark.parametrize("save_as", ["safetensors", "ckpt", "diffusers_safetensors", "diffusers"])
def test_a_full_disk_is_one_sentence_and_leaves_nothing_behind(models: Path, tmp_path: Path, save_as: str):
    resource = pytest.importorskip("resource")
    model = load(str(models / "sd1.safetensors"))
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1_000_000, limits[1]))
    try:
        with pytest.raises(BadFile, match="Cannot write .*enough free space"):
            model.save(SaveRequest(tmp_path / "full", save_as))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("dtype", [torch.uint8, torch.bool])
def test_a_model_whose_numbers_have_no_fractions(models: Path, tmp_path: Path, dtype: torch.dtype):
    tensors = open_checkpoint(models / "sd1.safetensors").read()
    write_safetensors(tmp_path / "whole.safetensors", {name: tensor.to(dtype) for name, tensor in tensors.items()})
    kind = str(dtype).removeprefix("torch.")
    assert f"holds {kind}, no numbers that can be trained. Use another copy." in refusal(tmp_path / "whole.safetensors")
