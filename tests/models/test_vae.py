"""The VAE alone: the same one out of every place that it can lie in, and nothing else read."""

import json
import shutil
from pathlib import Path

import pytest
import torch

from sd_scripts.library.errors import BadFile
from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.io import checkpoints
from sd_scripts.library.io.checkpoints import open_checkpoint, write_ckpt, write_safetensors
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.sd import load
from sd_scripts.library.models.vae import load_vae


def places(models: Path, folder: Path) -> list[Path]:
    tensors = open_checkpoint(models / "sd1.safetensors").read("first_stage_model.")
    write_safetensors(folder / "bare.safetensors", tensors)
    write_ckpt(folder / "bare.ckpt", {**tensors, "loss.logvar": torch.zeros(1)})
    part = models / "sd1_folder" / "vae"
    old = folder / "old"
    shutil.copytree(part, old)
    new = open_checkpoint(part / "diffusion_pytorch_model.safetensors").read()
    names = {".to_q.": ".query.", ".to_k.": ".key.", ".to_v.": ".value.", ".to_out.0.": ".proj_attn."}
    for now, then in names.items():
        new = {name.replace(now, then): tensor for name, tensor in new.items()}
    assert any(".proj_attn." in name for name in new)
    write_safetensors(old / "diffusion_pytorch_model.safetensors", new)
    files = [models / "sd1.safetensors", folder / "bare.safetensors", folder / "bare.ckpt"]
    return [*files, models / "sd1_folder", part, part / "diffusion_pytorch_model.safetensors", old]


def test_the_same_vae_out_of_every_place(models: Path, tmp_path: Path):
    found = [load_vae(str(place)) for place in places(models, tmp_path)]
    assert len({vae.hash for vae in found}) == 1
    assert len(found[0].hash) == 64
    pixels = torch.rand(1, 3, 64, 64) * 2 - 1
    means = [vae.module.encode(pixels).latent_dist.mean for vae in found]
    for mean in means:
        assert torch.equal(mean, means[0])
    for vae in found:
        assert (vae.scale, vae.dtype, vae.module.dtype) == (0.18215, torch.float32, torch.float32)
        assert not vae.module.training


def test_half_precision_is_told_and_computed_in_float32(models: Path):
    vae = load_vae(str(models / "sd1.ckpt"))
    assert (vae.dtype, vae.module.dtype) == (torch.float16, torch.float32)
    assert vae.hash == load_vae(str(models / "sd1.safetensors")).hash, "a copy in fp16 is the same VAE"


def test_another_vae_has_another_hash(models: Path, tmp_path: Path):
    other = make_sd1(tmp_path / "other.safetensors", seed=5)
    assert load_vae(str(other)).hash != load_vae(str(models / "sd1.safetensors")).hash


def test_only_the_vae_is_read(models: Path, monkeypatch):
    read = []
    inner = checkpoints._Safetensors.read

    def watched(self, prefix=""):
        read.append(prefix)
        return inner(self, prefix)

    monkeypatch.setattr(checkpoints._Safetensors, "read", watched)
    load_vae(str(models / "sd1.safetensors"))
    assert read == ["first_stage_model."]


def test_another_vae_replaces_the_models_own_and_is_saved(models: Path, tmp_path: Path):
    other = make_sd1(tmp_path / "other.safetensors", seed=5, dtype=torch.float16)
    model = load(str(models / "sd1.safetensors"), vae=str(other))
    written = open_checkpoint(model.save(SaveRequest(tmp_path / "out", "safetensors"))).read("first_stage_model.")
    expected = open_checkpoint(other).read("first_stage_model.")
    assert written.keys() == expected.keys()
    assert all(torch.equal(written[name], tensor) for name, tensor in expected.items())
    assert {tensor.dtype for tensor in written.values()} == {torch.float16}


def test_no_vae_is_one_sentence(models: Path, tmp_path: Path):
    write_safetensors(tmp_path / "lora.safetensors", {"lora_unet_x.lora_down.weight": torch.zeros(1)})
    with pytest.raises(BadFile, match="holds no VAE. Name a whole Stable Diffusion model, or a VAE."):
        load_vae(str(tmp_path / "lora.safetensors"))
    with pytest.raises(BadFile, match="holds no VAE"):
        load_vae(str(models / "sd1_folder" / "unet"))
    with pytest.raises(BadFile, match="there is no such file or folder"):
        load_vae(str(tmp_path / "missing.safetensors"))
    tensors = open_checkpoint(models / "sd1.safetensors").read("first_stage_model.")
    tensors.pop("decoder.conv_out.bias")
    write_safetensors(tmp_path / "torn.safetensors", tensors)
    with pytest.raises(BadFile, match="has no tensor decoder.conv_out.bias, so it is incomplete"):
        load_vae(str(tmp_path / "torn.safetensors"))


def test_a_scale_of_its_own_is_read_from_the_folder(models: Path, tmp_path: Path):
    folder = tmp_path / "vae"
    shutil.copytree(models / "sd1_folder" / "vae", folder)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, "scaling_factor": 0.13025}))
    assert load_vae(str(folder)).scale == 0.13025
