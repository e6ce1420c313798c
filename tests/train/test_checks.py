"""What is refused before a model is loaded: each in one sentence that names its option."""

import pytest

from sd_scripts.library.errors import BadOption, NotInstalled
from sd_scripts.library.train.checks.training import check_training
from sd_scripts.library.train.device import make_accelerator
from tests.train.tiny import options

FUSED = {"fused_backward_pass": True}
ZERO = {"deepspeed": True}
NVME = {"zero_stage": 3, "offload_optimizer_device": "nvme"}


def test_good_options_pass_and_make_the_folder(tmp_path):
    check_training(options(tmp_path))
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("values", "option", "sentence"),
    [
        ({"pretrained_model_name_or_path": None}, "pretrained_model_name_or_path", "is needed: a .safetensors"),
        ({"v2": True, "clip_skip": 2}, "clip_skip", "--clip_skip is not for --v2"),
        ({"in_json": None}, "in_json", "--in_json is needed"),
        ({"in_json": "nowhere.json"}, "in_json", "there is no such file"),
        ({"train_data_dir": "nowhere"}, "train_data_dir", "there is no such folder"),
        ({"sdpa": True, "xformers": True}, "xformers", "--sdpa and --xformers exclude each other"),
        ({"full_fp16": True}, "full_fp16", "--full_fp16 needs --mixed_precision fp16"),
        ({"full_bf16": True}, "full_bf16", "--full_bf16 needs --mixed_precision bf16"),
        ({"fp8_base": True}, "fp8_base", "--fp8_base needs --mixed_precision bf16 or fp16"),
        ({"lowram": True, "highvram": True}, "highvram", "Use one of them"),
        ({"dynamo_backend": "eager"}, "dynamo_backend", "eager needs --torch_compile"),
        (FUSED | {"gradient_accumulation_steps": 2}, "fused_backward_pass", "gradient_accumulation_steps above 1"),
        (FUSED | {"mixed_precision": "fp16"}, "fused_backward_pass", "does not go with --mixed_precision fp16"),
        (FUSED | {"deepspeed": True}, "fused_backward_pass", "does not go with --deepspeed"),
        ({"zero_stage": 3}, "zero_stage", "--zero_stage needs --deepspeed"),
        ({"offload_optimizer_device": "cpu"}, "offload_optimizer_device", "needs --deepspeed"),
        ({"offload_optimizer_nvme_path": "x"}, "offload_optimizer_nvme_path", "needs --deepspeed"),
        ({"offload_param_device": "cpu"}, "offload_param_device", "needs --deepspeed"),
        ({"offload_param_nvme_path": "x"}, "offload_param_nvme_path", "needs --deepspeed"),
        ({"zero3_init_flag": True}, "zero3_init_flag", "needs --deepspeed"),
        ({"zero3_save_16bit_model": True}, "zero3_save_16bit_model", "needs --deepspeed"),
        ({"fp16_master_weights_and_gradients": True}, "fp16_master_weights_and_gradients", "needs --deepspeed"),
        (ZERO | {"ddp_static_graph": True}, "ddp_static_graph", "has no meaning with --deepspeed"),
        (ZERO | {"full_bf16": True, "mixed_precision": "bf16"}, "full_bf16", "does not go with --deepspeed"),
        (ZERO | {"offload_param_device": "cpu"}, "offload_param_device", "cpu needs --zero_stage 3"),
        (ZERO | {"offload_optimizer_device": "nvme"}, "offload_optimizer_device", "nvme needs --zero_stage 3"),
        (ZERO | NVME, "offload_optimizer_nvme_path", "nvme needs --offload_optimizer_nvme_path: a folder"),
        (ZERO | NVME | {"offload_optimizer_nvme_path": "no"}, "offload_optimizer_nvme_path", "there is no such folder"),
        (ZERO | {"offload_optimizer_nvme_path": "x"}, "offload_optimizer_nvme_path", "offload_optimizer_device nvme"),
        (ZERO | {"optimizer_type": "AdaFactor"}, "optimizer_type", "AdaFactor looks at whole matrices"),
        (ZERO | {"zero_stage": 3, "sample_at_first": True}, "sample_prompts", "Use --zero_stage 2"),
        (ZERO | {"zero3_init_flag": True}, "zero3_init_flag", "--zero3_init_flag needs --zero_stage 3"),
        (ZERO | {"zero3_save_16bit_model": True}, "zero3_save_16bit_model", "needs --zero_stage 3"),
        (ZERO | {"fp16_master_weights_and_gradients": True}, "fp16_master_weights_and_gradients", "needs --mixed_p"),
        ({"output_dir": None}, "output_dir", "--output_dir is needed"),
        ({"output_name": "../x"}, "output_name", "must be a plain name"),
        ({"log_prefix": "a/b"}, "log_prefix", "must be a plain name"),
        ({"save_last_n_epochs": 2}, "save_last_n_epochs", "needs --save_every_n_epochs"),
        ({"save_last_n_steps": 2}, "save_last_n_steps", "needs --save_every_n_steps"),
        ({"save_last_n_steps_state": 2}, "save_last_n_steps_state", "needs --save_state and --save_every_n_steps"),
        ({"resume": "nowhere"}, "resume", "there is no such folder"),
        ({"sample_every_n_steps": 2}, "sample_prompts", "Samples need prompts"),
        ({"sample_at_first": True}, "sample_prompts", "Samples need prompts"),
        ({"sample_prompts": "nowhere.txt"}, "sample_prompts", "there is no such file"),
        ({"optimizer_type": "Adamm"}, "optimizer_type", "there is no such optimizer"),
        ({"optimizer_args": ["a"]}, "optimizer_args", "write name=value"),
        ({"face_crop_aug_range": "4,2"}, "face_crop_aug_range", "Write the smaller one first: 2.0,4.0"),
        ({"face_crop_aug_range": "big"}, "face_crop_aug_range", "Write two numbers above 0"),
        ({"color_aug": True, "cache_latents": True}, "color_aug", "so --cache_latents has nothing to keep"),
        ({"random_crop": True, "cache_latents": True}, "random_crop", "so --cache_latents has nothing to keep"),
        ({"face_crop_aug_range": "2,4", "cache_latents": True}, "face_crop_aug_range", "has nothing to keep"),
        ({"caption_separator": ""}, "caption_separator", "must not be empty"),
        ({"secondary_separator": ","}, "secondary_separator", "Use another mark"),
        (
            {"persistent_data_loader_workers": True, "max_data_loader_n_workers": 0},
            "persistent_data_loader_workers",
            "needs readers",
        ),
        ({"lr_scheduler": "rex"}, "lr_scheduler", "there is no such schedule"),
    ],
)
def test_mistakes(tmp_path, values, option, sentence):
    with pytest.raises(BadOption, match=sentence) as caught:
        check_training(options(tmp_path, **values))
    assert caught.value.option == option
    assert str(caught.value).endswith(".") or "?" in str(caught.value)


def test_sizes_are_asked_for(tmp_path):
    given = options(tmp_path)
    (tmp_path / "meta_lat.json").write_text('{"picture0": {"caption": "a red cat"}}')
    with pytest.raises(BadOption, match="--resolution is needed, such as 512,512: .* has no prepared sizes") as caught:
        check_training(given)
    assert caught.value.option == "resolution"


@pytest.mark.parametrize("option", ["xformers", "diffusers_xformers"])
def test_a_missing_package_is_said_at_once(tmp_path, option, monkeypatch):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(NotInstalled, match=f"--{option}: xformers is not installed. Install it with"):
        check_training(options(tmp_path, **{option: True}))


def test_a_folder_that_is_no_state(tmp_path):
    with pytest.raises(BadOption, match="there is no state"):
        check_training(options(tmp_path, resume=str(tmp_path)))


@pytest.mark.parametrize("option", ["output_dir", "logging_dir"])
def test_folders_that_cannot_be_written(tmp_path, option):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BadOption, match="cannot be written to") as caught:
        check_training(options(tmp_path, **{option: str(tmp_path / "file" / "below")}))
    assert caught.value.option == option


def test_fp16_needs_a_gpu(tmp_path):
    with pytest.raises(BadOption, match="Use --mixed_precision bf16 or no") as caught:
        make_accelerator(options(tmp_path, mixed_precision="fp16"))
    assert caught.value.option == "mixed_precision"
