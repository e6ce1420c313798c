"""convert_diffusers20_original_sd.py: the same tensors in every form, in the precision that is asked for."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import open_checkpoint, write_safetensors
from sd_scripts.library.models.conversion import convert
from sd_scripts.options.model_tools import ConvertOptions
from tests.tools.conftest import ran

POSITIONS = "text_model.embeddings.position_ids"
# What folders lack, as transformers' text encoders have no place for it.
FILLED = ("logit_scale", "text_projection", "transformer.resblocks.2.")


def converted(source: Path, target: Path, **flags: Any) -> Path:
    ran(convert, ConvertOptions, model_to_load=str(source), model_to_save=str(target), **flags)
    assert target.exists()
    return target


@pytest.mark.parametrize("family", ["sd1", "sd2", "sdxl"])
def test_all_tensors_come_back_through_ckpt_and_diffusers(models: Path, tmp_path: Path, family: str) -> None:
    source = models / f"{family}.safetensors"
    before = open_checkpoint(source).read()
    pickled = converted(source, tmp_path / "a.ckpt", epoch=3, global_step=70)
    after = open_checkpoint(pickled).read()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    held = torch.load(pickled, weights_only=True)
    assert (held["epoch"], held["global_step"]) == (3, 70)
    folder = converted(pickled, tmp_path / "folder", use_safetensors=family != "sd1")
    back = open_checkpoint(converted(folder, tmp_path / "back.safetensors")).read()
    assert {name for name in before.keys() - back.keys() if not name.endswith(POSITIONS)} == set()
    for name, tensor in back.items():
        filled = family != "sd1" and any(part in name for part in FILLED)
        assert filled or (tensor.dtype == before[name].dtype and torch.equal(tensor, before[name])), name


HALVES = [({"fp16": True}, torch.float16), ({"save_precision_as": "bf16"}, torch.bfloat16)]


@pytest.mark.parametrize(("flags", "dtype"), HALVES)
def test_every_part_has_the_precision_and_the_nearest_numbers(
    models: Path, tmp_path: Path, flags: Any, dtype: torch.dtype
) -> None:
    before = open_checkpoint(models / "sdxl.safetensors").read()
    half = converted(models / "sdxl.safetensors", tmp_path / "half.safetensors", **flags)
    after = open_checkpoint(half).read()
    numbers = {name: tensor for name, tensor in after.items() if tensor.is_floating_point()}
    assert {tensor.dtype for tensor in numbers.values()} == {dtype}
    assert all(torch.equal(tensor, before[name].to(dtype)) for name, tensor in numbers.items())
    wide = open_checkpoint(converted(half, tmp_path / "wide.safetensors", float=True)).read()
    assert all(torch.equal(wide[name], tensor.float()) for name, tensor in numbers.items())


def test_headers_are_kept_and_extended(models: Path, tmp_path: Path) -> None:
    told = {"modelspec.title": "Mine", "modelspec.hash_sha256": "0xold", "ss_steps": "5"}
    source = tmp_path / "told.safetensors"
    write_safetensors(source, open_checkpoint(models / "sd1.safetensors").read(), told)
    written = converted(source, tmp_path / "new.safetensors", metadata='{"a": "b"}', global_step=9)
    metadata = open_checkpoint(written).metadata
    assert metadata["modelspec.title"] == "Mine" and metadata["a"] == "b" and metadata["ss_steps"] == "9"
    assert "modelspec.hash_sha256" not in metadata


def test_variants_and_the_reference_of_folders(models: Path, tmp_path: Path) -> None:
    folder = converted(models / "sdxl.safetensors", tmp_path / "folder", use_safetensors=True, fp16=True)
    for path in [*folder.glob("*/*.safetensors")]:
        path.rename(path.with_name(f"{path.stem}.fp16.safetensors"))
    written = converted(folder, tmp_path / "one.safetensors", variant="fp16")
    assert open_checkpoint(written).tensor("model.diffusion_model.out.2.bias").dtype == torch.float16
    with pytest.raises(BadFile, match="no weights of the variant bf16"):
        converted(folder, tmp_path / "two.safetensors", variant="bf16")
    reference = tmp_path / "reference"
    (reference / "scheduler").mkdir(parents=True)
    config = {"_class_name": "DDIMScheduler", "beta_start": 0.5}
    (reference / "scheduler" / "scheduler_config.json").write_text(json.dumps(config), encoding="utf-8")
    made = converted(written, tmp_path / "made", reference_model=str(reference))
    assert json.loads((made / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8")) == config
    index = json.loads((made / "model_index.json").read_text(encoding="utf-8"))
    assert index["scheduler"] == ["diffusers", "DDIMScheduler"]
    assert (made / "tokenizer" / "vocab.json").is_file()


def test_a_velocity_model_says_so_from_then_on(models: Path, tmp_path: Path) -> None:
    flags = {"v_parameterization": True, "unet_use_linear_projection": True}
    folder = converted(models / "sd2.safetensors", tmp_path / "v", **flags)
    scheduler = json.loads((folder / "scheduler" / "scheduler_config.json").read_text(encoding="utf-8"))
    assert scheduler["prediction_type"] == "v_prediction"
    back = open_checkpoint(converted(folder, tmp_path / "v.safetensors", v2=True))
    assert back.metadata["modelspec.prediction_type"] == "v"


REFUSALS: list[tuple[str, dict[str, Any], str]] = [
    ("sd1.safetensors", {}, "is what is read here"),
    ("full", {}, "the folder is not empty"),
    ("x.pt", {}, "ends in .safetensors or .ckpt"),
    ("x.ckpt", {"metadata": "{}x"}, "a .ckpt has no header"),
    ("x.ckpt", {"use_safetensors": True}, "it is for diffusers folders"),
    ("x.safetensors", {"metadata": "x"}, 'write it as {"name": "value"}'),
    ("x.safetensors", {"fp16": True, "bf16": True}, "bf16 and fp16 are asked for"),
    ("x.safetensors", {"v1": True, "v2": True}, "exclude each other"),
    ("folder", {"epoch": 1}, "a diffusers folder has no place for it"),
]


@pytest.mark.parametrize(("target", "flags", "says"), REFUSALS, ids=lambda value: str(value)[:20])
def test_what_cannot_be_done_is_said_and_nothing_is_written(models: Path, target: str, flags: Any, says: str) -> None:
    (models / "full").mkdir(exist_ok=True)
    (models / "full" / "mine.txt").write_text("kept", encoding="utf-8")
    before = sorted(models.rglob("*"))
    options = {"model_to_load": str(models / "sd1.safetensors"), "model_to_save": str(models / target), **flags}
    with pytest.raises(BadOption, match=says.replace("{", "\\{")):
        ran(convert, ConvertOptions, **options)
    assert sorted(models.rglob("*")) == before
