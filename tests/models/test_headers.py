"""What the page says of a model file, without torch and without reading its weights."""

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import open_checkpoint, write_ckpt, write_safetensors
from sd_scripts.library.io.headers import ModelFacts, model_facts
from sd_scripts.library.models.family import SaveRequest
from sd_scripts.library.models.sd import load


@pytest.mark.parametrize(
    ("name", "kind", "file_format", "prediction", "dtype"),
    [
        ("sd1.safetensors", "sd1", "safetensors", None, "fp32"),
        ("sd1.ckpt", "sd1", "ckpt", None, "fp16"),
        ("sd2.safetensors", "sd2", "safetensors", None, "fp32"),
        ("sd2.ckpt", "sd2", "ckpt", None, "fp16"),
        ("sd1_folder", "sd1", "diffusers", "epsilon", "fp32"),
        ("sd2_v_folder", "sd2", "diffusers", "v_prediction", "fp32"),
    ],
)
def test_facts(models: Path, name, kind, file_format, prediction, dtype):
    facts = model_facts(models / name)
    assert (facts.kind, facts.format, facts.prediction_type, facts.dtype) == (kind, file_format, prediction, dtype)
    assert 5_000_000 < facts.size_bytes < 20_000_000


def test_facts_in_words(models: Path, tmp_path: Path):
    facts = ModelFacts(Path("x"), "sd1", "safetensors", None, "fp16", 2_132_000_000)
    assert facts.describe() == "SD1, fp16, 2.1 GB"
    model = load(str(models / "sd2.ckpt"), v2=True, v_parameterization=True)
    path = model.save(SaveRequest(tmp_path / "v", "safetensors", torch.bfloat16))
    assert model_facts(path).describe() == "SD2, v-prediction, bf16, 9 MB"


def test_other_kinds(models: Path, tmp_path: Path):
    one = torch.zeros(1, dtype=torch.float16)
    names = {
        "lora": "lora_unet_x.lora_down.weight",
        "vae": "decoder.conv_in.weight",
        "unknown": "emb_params",
    }
    for kind, name in names.items():
        for path, write in ((tmp_path / "x.safetensors", write_safetensors), (tmp_path / "x.pt", write_ckpt)):
            write(path, {name: one})
            assert model_facts(path).kind == kind
    vae = open_checkpoint(models / "sd1.safetensors").read("first_stage_model.")
    write_safetensors(tmp_path / "vae.safetensors", vae)
    assert model_facts(tmp_path / "vae.safetensors").kind == "vae"
    assert model_facts(tmp_path).kind == "unknown"


def test_legacy_checkpoints(models: Path, tmp_path: Path):
    tensors = open_checkpoint(models / "sd1.ckpt").read()
    torch.save({"state_dict": tensors}, tmp_path / "old.ckpt", _use_new_zipfile_serialization=False)
    assert model_facts(tmp_path / "old.ckpt").kind == "sd1"
    assert load(str(tmp_path / "old.ckpt")).name == "sd1"


def test_broken_files_are_one_sentence(models: Path, tmp_path: Path):
    (tmp_path / "text.safetensors").write_text("no model at all")
    (tmp_path / "list.safetensors").write_bytes((2).to_bytes(8, "little") + b"[]")
    (tmp_path / "torn.safetensors").write_bytes((models / "sd1.safetensors").read_bytes()[:1_000_000])
    (tmp_path / "text.ckpt").write_text("no model at all")
    for file in tmp_path.iterdir():
        with pytest.raises(BadFile, match="or it is incomplete. Download or copy it again."):
            model_facts(file)
    with pytest.raises(BadFile, match="there is no such file or folder"):
        model_facts(tmp_path / "missing.safetensors")


def test_facts_need_no_torch_and_little_time(models: Path):
    code = (
        "import sys, sd_scripts.library.io.headers as h\n"
        "print(h.model_facts(sys.argv[1]).kind, 'torch' in sys.modules, 'numpy' in sys.modules)"
    )
    for name in ("sd1.safetensors", "sd1.ckpt", "sd1_folder"):
        run = subprocess.run(
            [sys.executable, "-c", code, str(models / name)],
            capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2],
        )  # fmt: skip
        assert run.stdout.split() == ["sd1", "False", "False"]
