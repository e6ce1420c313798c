"""merge_models.py: sums worked out by hand."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.example.sd_models import make_diffusers, make_sd1
from sd_scripts.library.io.checkpoints import open_checkpoint, write_ckpt, write_safetensors
from sd_scripts.library.models.merging import merge_models
from sd_scripts.options.model_tools import MergeModelsOptions
from tests.tools.conftest import ran

UNET = "model.diffusion_model.input_blocks.0.0.weight"
TEXT = "cond_stage_model.transformer.text_model.encoder.w"
VAE = "first_stage_model.decoder.conv_in.weight"
IDS = "cond_stage_model.transformer.text_model.embeddings.position_ids"


def model(path: Path, number: float, **more: Tensor) -> str:
    tensors = {UNET: torch.full((2, 2), number), TEXT: torch.full((3,), 10 * number), VAE: torch.full((1,), -number)}
    tensors |= {IDS: torch.arange(3), **more}
    write = write_ckpt if path.suffix == ".ckpt" else write_safetensors
    write(path, tensors)
    return str(path)


@pytest.fixture
def three(tmp_path: Path) -> list[str]:
    return [model(tmp_path / f"{name}.safetensors", number) for name, number in (("a", 1.0), ("b", 3.0), ("c", 7.0))]


def merged(tmp_path: Path, **flags: Any) -> tuple[dict[str, Tensor], Any]:
    out = tmp_path / "out.safetensors"
    report = ran(merge_models, MergeModelsOptions, output=str(out), **flags)
    return open_checkpoint(out).read(), report


@pytest.mark.parametrize(
    ("ratios", "number"), [(None, (1 + 3 + 7) / 3), ([0.5, 0.25, 0.25], 3.0), ([1.0, 1.0, -1.0], -3.0)]
)
def test_each_weight_is_the_sum_of_its_shares(three: list[str], tmp_path: Path, ratios: Any, number: float) -> None:
    tensors, report = merged(tmp_path, models=three, ratios=ratios)
    expected = {UNET: number, TEXT: 10 * number, VAE: -number}
    for name, value in expected.items():
        torch.testing.assert_close(tensors[name], torch.full_like(tensors[name], value))
    assert torch.equal(tensors[IDS], torch.arange(3))
    assert "add up" not in report.said
    assert open_checkpoint(tmp_path / "out.safetensors").metadata["modelspec.merged_from"] == "a, b, c"


def test_the_unet_alone_leaves_the_rest_to_the_first(three: list[str], tmp_path: Path) -> None:
    tensors, _ = merged(tmp_path, models=three[:2], ratios=[0.5, 0.5], unet_only=True, saving_precision="fp16")
    assert tensors[UNET].dtype == torch.float16 and tensors[UNET].tolist() == [[2.0, 2.0], [2.0, 2.0]]
    assert tensors[TEXT].dtype == torch.float32 and tensors[TEXT].tolist() == [10.0] * 3


def test_what_one_lacks_the_first_stands_in_for_and_what_only_others_have_is_left_out(tmp_path: Path) -> None:
    first = model(tmp_path / "a.safetensors", 1.0, extra=torch.full((1,), 5.0))
    second = model(tmp_path / "b.ckpt", 3.0, other=torch.zeros(1))
    tensors, report = merged(tmp_path, models=[first, second], ratios=[0.5, 0.4], show_skipped=True)
    assert tensors["extra"].item() == pytest.approx(4.5) and "other" not in tensors
    assert "lacks 1 tensor of the first model" in report.said and "b.ckpt: other" in report.said
    assert "add up to 0.9, not 1" in report.said


def test_older_names_of_the_text_encoder_are_the_same_weights(three: list[str], tmp_path: Path) -> None:
    older = {name.replace("text_model.", ""): tensor for name, tensor in open_checkpoint(three[1]).read().items()}
    write_safetensors(tmp_path / "older.safetensors", older)
    tensors, report = merged(tmp_path, models=[three[0], str(tmp_path / "older.safetensors")], ratios=[0.5, 0.5])
    assert tensors[TEXT].tolist() == [20.0] * 3 and "Left out" not in report.said


def test_folders_are_merged_and_averaged_copies_left_out(models: Path, tmp_path: Path) -> None:
    file, folder = models / "sd1.safetensors", make_diffusers(tmp_path / "folder", seed=1)
    second = {"model_ema.decay": torch.zeros(1), **open_checkpoint(make_sd1(tmp_path / "b.ckpt", seed=1)).read()}
    write_ckpt(tmp_path / "b.ckpt", second)
    of_folder, report = merged(tmp_path, models=[str(file), str(folder)])
    of_file, _ = merged(tmp_path, models=[str(tmp_path / "b.ckpt"), str(file)])
    assert "lacks" not in report.said and of_folder.keys() == of_file.keys() == open_checkpoint(file).read().keys()
    for name, tensor in of_folder.items():
        torch.testing.assert_close(tensor, of_file[name])
    with pytest.raises(BadOption, match="lies in .*folder, which is read here"):
        ran(merge_models, MergeModelsOptions, models=[str(file), str(folder)], output=str(folder / "x.safetensors"))


def test_what_cannot_be_merged_is_said(three: list[str], tmp_path: Path) -> None:
    other = tmp_path / "shape.safetensors"
    write_safetensors(other, {**open_checkpoint(three[1]).read(), UNET: torch.zeros(2, 3)})
    lora = tmp_path / "lora.safetensors"
    write_safetensors(lora, {"x.lora_down.weight": torch.zeros(1)})
    out = str(tmp_path / "new.safetensors")
    wrong: list[tuple[dict[str, Any], type, str]] = [
        ({"models": three[:1], "output": out}, BadOption, "two models or more"),
        ({"models": three, "output": three[2]}, BadOption, "is what is read here"),
        ({"models": three, "output": out, "ratios": [1.0]}, BadOption, "has 1 number, and 3 are needed"),
        ({"models": three, "output": str(tmp_path / "x.ckpt")}, BadOption, "must end in .safetensors"),
        ({"models": three, "output": out, "device": "moon"}, BadOption, "moon: this machine has no such device"),
        ({"models": [three[0], str(other)], "output": out}, BadFile, "has the shape"),
        ({"models": [three[0], str(lora)], "output": out}, BadFile, "is a LoRA, not a whole model"),
    ]
    for flags, error, says in wrong:
        with pytest.raises(error, match=says):
            ran(merge_models, MergeModelsOptions, **flags)
    assert not Path(out).exists()
