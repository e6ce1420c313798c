"""What a run writes: names, formats, what is kept."""

import json

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.models.sd import load
from sd_scripts.library.train.course import Course
from sd_scripts.library.train.saving import Names, Occasion, file_format, occasions, save_every_epochs
from sd_scripts.options.training import ModelFormatOptions, SavingOptions
from tests.train.tiny import tiny_data, train


def written(tmp_path):
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_names_with_a_name(tmp_path):
    train(tmp_path, data=tiny_data(1), max_train_epochs=3, save_every_n_epochs=1, save_every_n_steps=2, save_state=True)
    models = ["X-000001", "X-000002", "X-step00000002", "X"]
    assert written(tmp_path) == sorted([f"{m}.safetensors" for m in models] + [f"{m}-state" for m in models])


def test_names_without_a_name(tmp_path):
    train(
        tmp_path, data=tiny_data(2), output_name=None, max_train_epochs=2, save_every_n_epochs=1, save_every_n_steps=3
    )
    models = ["at-step00000003", "epoch-000001", "last"]
    assert written(tmp_path) == [f"{m}.safetensors" for m in models]


def test_only_the_last_are_kept(tmp_path):
    (tmp_path / "out").mkdir()
    for name in ("Y-000001.safetensors", "X-000001.txt", "X-step00000001-notes"):
        (tmp_path / "out" / name).write_text("not of this run")
    values = {"save_every_n_epochs": 1, "save_last_n_epochs": 2, "save_last_n_epochs_state": 1}
    steps = {"save_every_n_steps": 2, "save_last_n_steps": 2}
    train(tmp_path, data=tiny_data(1), max_train_epochs=5, save_state=True, **values, **steps)
    assert [name for name in written(tmp_path) if name.startswith("X-0")] == [
        "X-000001.txt", "X-000003.safetensors", "X-000004-state", "X-000004.safetensors",
    ]  # fmt: skip
    assert [name for name in written(tmp_path) if name.startswith("X-step")] == [
        "X-step00000001-notes", "X-step00000002-state", "X-step00000002.safetensors", "X-step00000004-state",
        "X-step00000004.safetensors",
    ]  # fmt: skip
    assert (tmp_path / "out" / "Y-000001.safetensors").exists()


def test_folders_that_are_no_models_stay(tmp_path):
    (tmp_path / "X-000001").mkdir()
    (tmp_path / "X-000002").mkdir()
    (tmp_path / "X-000002" / "model_index.json").write_text("{}")
    assert Names(tmp_path, "X").older("epoch", 5, states=False) == [], "the last one stays"
    (tmp_path / "X-000005").mkdir()
    (tmp_path / "X-000005" / "model_index.json").write_text("{}")
    older = Names(tmp_path, "X").older("epoch", 5, states=False)
    assert [path.name for path in older] == ["X-000002"]


def test_the_last_epoch_is_the_end():
    saving, course = SavingOptions(save_every_n_epochs=2), Course(steps_per_epoch=10, total_steps=40)
    assert occasions(saving, course, 20, 2) == [Occasion("epoch", 2)]
    assert occasions(saving, course, 40, 4) == []
    assert occasions(saving, course, 30, 3) == []


@pytest.mark.parametrize(("ratio", "every"), [(1, 10), (3, 3), (4, 2), (20, 1)])
def test_save_n_epoch_ratio(ratio, every):
    assert save_every_epochs(SavingOptions(save_n_epoch_ratio=ratio), Course(5, 50)) == every


@pytest.mark.parametrize(
    ("asked", "safetensors", "source", "expected"),
    [
        (None, False, "ckpt", "ckpt"),
        (None, True, "ckpt", "safetensors"),
        (None, True, "diffusers", "diffusers_safetensors"),
        ("diffusers", False, "ckpt", "diffusers"),
        ("safetensors", False, "diffusers", "safetensors"),
    ],
)
def test_formats(asked, safetensors, source, expected):
    assert file_format(ModelFormatOptions(save_model_as=asked, use_safetensors=safetensors), source) == expected


def test_the_header_tells_of_the_training(tmp_path):
    base = "/home/somebody/models/base.safetensors"
    data = tiny_data(4, repeats=2)
    train(
        tmp_path,
        data=data,
        pretrained_model_name_or_path=base,
        vae="C:\\models\\v.pt",
        dataset_repeats=2,
        caption_dropout_rate=0.1,
    )
    with safe_open(tmp_path / "out" / "X.safetensors", "pt") as file:
        header = file.metadata()
    assert header["ss_sd_model_name"] == "base.safetensors"
    assert header["ss_vae_name"] == "v.pt"
    assert header["ss_steps"] == "3" and header["ss_epoch"] == "1"
    assert header["ss_caption_dropout_rate"] == "0.1" and header["ss_caption_tag_dropout_rate"] == "0.0"
    assert header["ss_num_train_images"] == "8"
    assert json.loads(header["ss_bucket_info"]) == {"buckets": {"0": {"resolution": [64, 64], "count": 8}}}
    assert header["modelspec.resolution"] == "64x64"
    assert not any("somebody" in value or str(tmp_path) in value for value in header.values())


def test_the_header_tells_of_noise_and_loss(tmp_path):
    """Under the keys that other programs know, with their defaults."""
    train(tmp_path, max_train_steps=1, noise_offset=0.1, min_snr_gamma=5.0, debiased_estimation_loss=True)
    with safe_open(tmp_path / "out" / "X.safetensors", "pt") as file:
        header = file.metadata()
    expected = {
        "ss_adaptive_noise_scale": "None",
        "ss_debiased_estimation": "True",
        "ss_huber_c": "0.1",
        "ss_huber_scale": "1.0",
        "ss_huber_schedule": "snr",
        "ss_ip_noise_gamma": "None",
        "ss_ip_noise_gamma_random_strength": "False",
        "ss_loss_type": "l2",
        "ss_min_snr_gamma": "5.0",
        "ss_multires_noise_discount": "0.3",
        "ss_multires_noise_iterations": "None",
        "ss_noise_offset": "0.1",
        "ss_noise_offset_random_strength": "False",
        "ss_zero_terminal_snr": "False",
    }
    assert {key: header[key] for key in expected} == expected


def test_number_formats_of_what_is_saved(tmp_path):
    base = make_sd1(tmp_path / "half.safetensors", dtype=torch.float16)
    train(tmp_path, load(str(base)), max_train_steps=1, save_every_n_steps=1)
    train(tmp_path, load(str(base)), max_train_steps=1, output_name="bf", save_precision="bf16")
    before, plain, bf = (
        load_file(path) for path in (base, tmp_path / "out/X.safetensors", tmp_path / "out/bf.safetensors")
    )
    for name, tensor in before.items():
        part = name.split(".")[0]
        if part == "first_stage_model":
            assert torch.equal(plain[name], tensor) and torch.equal(bf[name], tensor), name
        elif tensor.is_floating_point():
            assert (plain[name].dtype, bf[name].dtype) == (torch.float32, torch.bfloat16), name
    # What is frozen is the same number in a wider format.
    text = [name for name in before if name.startswith("cond_stage_model") and before[name].is_floating_point()]
    assert text and all(torch.equal(plain[name], before[name].float()) for name in text)
    unet = [name for name in before if name.startswith("model.diffusion_model")]
    assert any(not torch.equal(plain[name], before[name].float()) for name in unet)
