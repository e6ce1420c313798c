"""What the page says before a start."""

import importlib.util
import json
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from kohya_gui.checks import check
from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.stages import STAGES
from tests.states import write_state


@pytest.fixture
def place(tmp_path):
    folder = tmp_path / "pics"
    folder.mkdir()
    for i in range(3):
        Image.new("RGB", (8, 8)).save(folder / f"{i}.png")
    (folder / "0.txt").write_text("a, b")
    return tmp_path


def look(place, stage, **values):
    return check(STAGES[stage], values, Project(work_dir=str(place)), Roots([place]))


def found(checked):
    return {(f.level, f.field) for f in checked.findings}


def figures(checked):
    return {fact.name: fact.value for fact in checked.facts}


def text(checked, field):
    return next(f.text for f in checked.findings if f.field == field)


def tiny_model(path, mark="cond_stage_model.transformer.x", **facts):
    tensors = {
        "model.diffusion_model.input_blocks.0.0.weight": np.zeros((2, 2), np.float16),
        mark: np.zeros(2, np.float16),
    }
    save_file(tensors, path, facts or None)
    return str(path)


def metadata(place, name="meta_lat.json", **entry):
    keys = [str(place / "pics" / f"{i}.png") for i in range(3)]
    entry = {"caption": "a", "train_resolution": [64, 64]} | entry
    (place / name).write_text(json.dumps(dict.fromkeys(keys, entry)))
    return str(place / name)


def trainable(place, **more):
    for i in range(3):
        (place / "pics" / f"{i}.npz").touch()
    model = tiny_model(place / "m.safetensors")
    return {"pretrained_model_name_or_path": model, "in_json": metadata(place), "output_dir": str(place / "out")} | more


def test_values_are_read_and_refused_beside_their_field(place):
    checked = look(
        place, "train", **trainable(place, learning_rate="5e-6x", train_batch_size="2.5", max_train_steps="0")
    )
    errors = {flag: fact["error"] for flag, fact in checked.fields.items() if "error" in fact}
    assert errors == {
        "learning_rate": '"5e-6x" is not a number. Write 1e-5 or 0.00001.',
        "train_batch_size": "2.5 must be a whole number.",
        "max_train_steps": "Must be 1 or more.",
    }
    assert checked.blocks(confirmed=True)


def test_folders_say_what_is_in_them(place):
    (place / "empty").mkdir()
    (place / "above" / "below").mkdir(parents=True)
    Image.new("RGB", (8, 8)).save(place / "above" / "below" / "x.JPG")
    pictures = lambda folder: look(place, "tag_wd14", train_data_dir=str(folder)).fields["train_data_dir"]  # noqa: E731
    assert pictures(place / "pics") == {"found": "3 images, 1 with .txt, 2 without"}
    assert pictures("pics") == {"found": "3 images, 1 with .txt, 2 without"}
    assert "There are no pictures" in pictures(place / "empty")["error"]
    assert "its subfolders hold 1" in pictures(place / "above")["error"]
    assert "There is no folder" in pictures(place / "nowhere")["error"]
    assert "outside" in pictures("/etc")["error"]


def test_a_good_training_blocks_nothing_and_counts(place):
    checked = look(
        place, "train", **trainable(place, max_train_epochs="4", train_batch_size="2", save_every_n_epochs="1")
    )
    assert not checked.blocks(confirmed=False)
    facts = figures(checked)
    assert facts["Images"] == "3 × 1 = 3"
    assert facts["Batches per epoch"] == "2 in 1 bucket"
    assert facts["Steps"] == "8 in 4 epochs"
    assert facts["Saves"].startswith("4 × ")


@pytest.mark.parametrize(
    ("values", "saves"),
    [
        ({"save_every_n_steps": 20, "max_train_steps": 40}, 3),
        ({"save_every_n_epochs": 2, "max_train_epochs": 10}, 5),
        ({"save_every_n_epochs": 2, "max_train_epochs": 10, "save_last_n_epochs": 1}, 2),
        ({"save_n_epoch_ratio": 5, "max_train_epochs": 10}, 5),
    ],
)
def test_saved_models_are_counted_as_the_trainer_saves_them(place, values, saves):
    assert figures(look(place, "train", **trainable(place, **values)))["Saves"].startswith(f"{saves} × ")


@pytest.mark.parametrize(
    ("values", "field", "level"),
    [
        ({"xformers": True, "sdpa": True}, "sdpa", "error"),
        ({"sample_every_n_epochs": 1}, "sample_prompts", "error"),
        ({"save_last_n_epochs": 1}, "save_last_n_epochs", "error"),
        ({"learning_rate": "1e-2"}, "learning_rate", "warning"),
        ({"full_fp16": True}, "full_fp16", "error"),
        ({"full_bf16": True, "mixed_precision": "fp16"}, "full_bf16", "error"),
        ({"fp8_base": True}, "fp8_base", "error"),
        ({"fp8_base": True, "mixed_precision": "bf16", "train_text_encoder": True}, "fp8_base", "error"),
        ({"dynamo_backend": "eager"}, "dynamo_backend", "error"),
        ({"lowram": True, "highvram": True}, "highvram", "error"),
        ({"fused_backward_pass": True, "gradient_accumulation_steps": 2}, "fused_backward_pass", "error"),
        ({"zero_stage": 3}, "zero_stage", "error"),
        ({"deepspeed": True, "full_bf16": True, "mixed_precision": "bf16"}, "full_bf16", "error"),
        ({"deepspeed": True, "zero3_init_flag": True}, "zero3_init_flag", "error"),
        ({"deepspeed": True, "offload_param_device": "cpu"}, "offload_param_device", "error"),
        ({"v2": True}, "v2", "error"),
        ({"resolution": "wide"}, "resolution", "error"),
        ({"resolution": "100,100", "enable_bucket": True}, "resolution", "error"),
        ({"output_name": "../../x"}, "output_name", "error"),
        ({"color_aug": True, "cache_latents": True}, "color_aug", "error"),
        ({"random_crop": True}, "random_crop", "warning"),
        ({"face_crop_aug_range": "4,2"}, "face_crop_aug_range", "error"),
        ({"in_json": "nothing.json"}, "in_json", "error"),
        ({"nonsense": 1}, "nonsense", "error"),
        ({"output_dir": "m.safetensors"}, "output_dir", "error"),
        ({"v_parameterization": True}, "v_parameterization", "warning"),
        ({"adaptive_noise_scale": "0.1"}, "adaptive_noise_scale", "error"),
        ({"multires_noise_discount": "0.5"}, "multires_noise_discount", "warning"),
        ({"scale_v_pred_loss_like_noise_pred": True}, "scale_v_pred_loss_like_noise_pred", "error"),
        ({"v_pred_like_loss": "0.1", "v_parameterization": True}, "v_pred_like_loss", "error"),
        ({"min_timestep": "500", "max_timestep": "500"}, "min_timestep", "error"),
        ({"zero_terminal_snr": True}, "zero_terminal_snr", "warning"),
        ({"zero_terminal_snr": True, "debiased_estimation_loss": True}, "debiased_estimation_loss", "error"),
        ({"huber_c": "0"}, "huber_c", "error"),
        ({"huber_c": "0.2"}, "huber_c", "warning"),
        ({"huber_scale": "2", "loss_type": "huber"}, "huber_scale", "warning"),
        ({"dataset_config": "gone.toml"}, "dataset_config", "error"),
        ({"dataset_config": "meta.json"}, "dataset_config", "error"),
        ({"dataset_config": "meta.json", "dataset_class": "a.B"}, "dataset_config", "error"),
        ({"cache_latents_to_disk": True, "dataset_class": "a.B"}, "cache_latents_to_disk", "error"),
        ({"random_crop": True, "cache_latents_to_disk": True}, "random_crop", "error"),
        ({"cache_info": True}, "cache_info", "error"),
        (
            {"persistent_data_loader_workers": True, "max_data_loader_n_workers": "0"},
            "persistent_data_loader_workers",
            "error",
        ),
        ({"caption_extension": ".txt"}, "caption_extension", "error"),
    ],
)
def test_rules_of_training(place, values, field, level):
    assert (level, field) in found(look(place, "train", **trainable(place, **values)))
    assert (level, field) not in found(look(place, "train", **trainable(place)))


@pytest.mark.parametrize(
    "values",
    [
        {"noise_offset": "0.1", "adaptive_noise_scale": "0.1", "noise_offset_random_strength": True},
        {"multires_noise_iterations": "6", "multires_noise_discount": "0.5", "min_timestep": "999"},
        {"loss_type": "huber", "huber_schedule": "constant", "huber_c": "0.2", "huber_scale": "2"},
        {"v_pred_like_loss": "0.1", "debiased_estimation_loss": True, "min_snr_gamma": "0", "max_timestep": "1"},
    ],
)
def test_noise_and_loss_that_fit_together_block_nothing(place, values):
    assert not look(place, "train", **trainable(place, **values)).blocks(confirmed=False)


def test_models_are_known_by_their_header(place):
    good = look(place, "latents", model_name_or_path=trainable(place)["pretrained_model_name_or_path"])
    assert good.fields["model_name_or_path"]["found"].startswith("SD1, fp16")
    sd2 = tiny_model(place / "sd2.safetensors", "cond_stage_model.model.x", **{"modelspec.prediction_type": "v"})
    checked = look(place, "train", **trainable(place, pretrained_model_name_or_path=sd2))
    assert {("error", "v2"), ("error", "v_parameterization")} <= found(checked)
    (place / "no.safetensors").write_text("no model")
    wrong = look(place, "train", **trainable(place, pretrained_model_name_or_path="no.safetensors"))
    assert "is not a model file" in wrong.fields["pretrained_model_name_or_path"]["error"]
    hub = look(place, "train", **trainable(place, pretrained_model_name_or_path="owner/name"))
    assert "hub" in hub.fields["pretrained_model_name_or_path"]["found"]


def test_merging_offers_the_ending_that_is_there(place):
    checked = look(place, "merge_captions", train_data_dir="pics", out_json="meta.json")
    assert text(checked, "caption_extension") == "No .caption file, but 1 .txt. Use .txt?"
    tags = look(place, "merge_tags", train_data_dir="pics", out_json="meta.json")
    assert not tags.blocks(confirmed=True) and tags.blocks(confirmed=False)


def test_captions_are_not_offered_as_tags(place):
    (place / "pics" / "0.txt").unlink()
    merge = lambda stage: text(look(place, stage, train_data_dir="pics", out_json="m.json"), "caption_extension")  # noqa: E731
    assert merge("merge_captions") == "No .caption files yet. Run Caption first."
    (place / "pics" / "0.caption").write_text("a meadow")
    assert merge("merge_tags") == "No .txt files yet. Run Tag first."


def test_keys_and_full_path_agree(place):
    values = {"train_data_dir": "pics", "out_json": "o.json", "in_json": metadata(place)}
    values["model_name_or_path"] = tiny_model(place / "m.safetensors")
    assert ("error", "full_path") in found(look(place, "latents", **values))
    assert not look(place, "latents", **values, full_path=True).blocks(confirmed=True)


def test_metadata_without_text_or_latents(place):
    values = trainable(place)
    metadata(place, caption="")
    assert ("error", "in_json") in found(look(place, "train", **values))
    Path(values["in_json"]).write_text(json.dumps({str(place / "pics" / "0.png"): {"caption": "a"}}))
    assert ("error", "resolution") in found(look(place, "train", **values))


def test_missing_latents_are_counted(place):
    values = trainable(place)
    said = lambda **more: [f.text for f in look(place, "train", **values, **more).findings if "latents" in f.text]  # noqa: E731
    assert said() == []
    (place / "pics" / "0.npz").unlink()
    rest = "no prepared latents; it will be encoded while training, which is slower. Run Latents."
    assert said() == [f"1 of 3 images has {rest}"]
    (place / "pics" / "0_0008x0008_sd.npz").touch()
    assert said() == []
    assert said(flip_aug=True)[0].startswith("2 of 3 images have no prepared latents")
    (place / "pics" / "1_flip.npz").touch()
    (place / "pics" / "2_flip.npz").touch()
    assert said(flip_aug=True) == []
    for path in (place / "pics").glob("*.npz"):
        path.unlink()
    assert said()[0].startswith("3 of 3 images have no prepared latents")
    assert said(cache_latents=True) == []
    bare = {str(i): {"caption": "a", "train_resolution": [64, 64]} for i in range(3)}
    Path(values["in_json"]).write_text(json.dumps(bare))
    (place / "pics" / "2.npz").touch()
    assert said(train_data_dir="pics")[0].startswith("2 of 3 images")


def test_latents_that_are_missing_do_not_matter_to_pictures_that_change(place):
    values = trainable(place)
    (place / "pics" / "0.npz").unlink()
    assert ("warning", "in_json") in found(look(place, "train", **values))
    checked = look(place, "train", **values, color_aug=True)
    assert "Prepared latents are not used with Vary colours" in text(checked, "color_aug")
    assert not any("have no prepared latents" in finding.text for finding in checked.findings)


def test_texts_are_not_replaced_without_asking(place):
    checked = look(place, "tag_wd14", train_data_dir="pics")
    assert checked.blocks(confirmed=False) and not checked.blocks(confirmed=True)
    assert not look(place, "tag_wd14", train_data_dir="pics", append_tags=True).blocks(confirmed=False)
    both = look(place, "tag_wd14", train_data_dir="pics", append_tags=True, skip_described=True)
    assert ("error", "skip_described") in found(both)


@pytest.mark.parametrize("stage", ["caption_blip", "caption_git", "tag_wd14", "tag_deepdanbooru"])
def test_texts_that_are_left_alone_are_not_replaced(place, stage):
    given = {"train_data_dir": "pics", "caption_extension": ".txt", "project_path": "pics"}
    (asked,) = [one for one in look(place, stage, **given).findings if one.key == "check.texts_replaced"]
    assert asked.fixes[0].values == {"skip_described": True}
    left = look(place, stage, **given, skip_described=True)
    assert ("warning", "caption_extension") not in found(left)


def test_broken_metadata_is_said_and_noticed_when_it_changes(place):
    path = place / "m.json"
    path.write_text("{")
    assert "broken JSON" in look(place, "clean", in_json="m.json", out_json="o.json").fields["in_json"]["error"]
    path.write_text(json.dumps({"a": {"caption": "x"}, "b": {}}))
    again = look(place, "clean", in_json="m.json", out_json="o.json")
    assert again.fields["in_json"]["found"] == "2 images, 1 without text"


def test_it_is_quick(place):
    values = trainable(place)
    look(place, "train", **values)
    begun = time.process_time()
    for _ in range(5):
        look(place, "train", **values)
    assert (time.process_time() - begun) / 5 < 0.15


@pytest.mark.parametrize(
    ("flag", "good", "bad", "said"),
    [
        ("optimizer_type", ("adamw8bit", "came", "torch.optim.RAdam", ""), "Adamm", "is no known optimizer. Known are"),
        ("optimizer_type", ("Prodigy",), "zzz", "Known are AdamW, Lion, AdaFactor, SGDNesterov and others"),
        ("lr_scheduler", ("LINEAR", "adafactor:1e-3"), "sine", "is not one of constant"),
    ],
)
def test_names_of_optimizers_and_schedules_are_known(place, flag, good, bad, said):
    own = {"optimizer_type": "AdaFactor"} if flag == "lr_scheduler" else {}
    for name in good:
        assert ("error", flag) not in found(look(place, "train", **trainable(place, **(own | {flag: name}))))
    told = text(look(place, "train", **trainable(place, **{flag: bad})), flag)
    assert f'"{bad}"' in told and said in told


def test_logs_have_a_folder_and_their_package(place, monkeypatch):
    checked = look(place, "train", **trainable(place, log_with="tensorboard"))
    assert ("error", "logging_dir") in found(checked)
    assert text(checked, "logging_dir") == "TensorBoard needs a folder for its logs."
    there = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "wandb" else there(name))
    checked = look(place, "train", **trainable(place, log_with="wandb"))
    assert text(checked, "log_with").startswith(f'wandb is not installed. Install it with "{sys.executable}" -m pip')
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there("json") if name == "wandb" else there(name))
    monkeypatch.setenv("WANDB_API_KEY", "k" * 40)
    checked = look(place, "train", **trainable(place, log_with="all", logging_dir=str(place / "logs")))
    assert not {field for _, field in found(checked)} & {"log_with", "logging_dir"}


def test_a_key_of_wandb_is_not_taken(place):
    checked = look(place, "train", **trainable(place, wandb_api_key="very secret"))
    assert ("error", "wandb_api_key") in found(checked)
    assert "wandb_api_key" not in checked.draft.values and "very secret" not in repr(checked)


def test_a_thumbnail_is_a_small_picture_or_a_data_url(place):
    (place / "large.png").write_bytes(bytes(1_000_001))
    values = {
        str(place / "pics" / "0.png"): None,
        "data:image/png;base64,AAAA": None,
        str(place / "large.png"): "It is larger than 1 MB, and every saved file would hold it. Choose a smaller one.",
        str(place / "none.png"): f"There is no file {place / 'none.png'}.",
    }
    for value, trouble in values.items():
        checked = look(place, "train", **trainable(place, metadata_thumbnail=value))
        assert checked.draft.values["metadata_thumbnail"] == value
        assert checked.fields.get("metadata_thumbnail", {}).get("error") == trouble


def test_the_copy_of_the_log_can_be_written(place):
    log = place / "logs" / "said.log"
    checked = look(place, "train", **trainable(place, console_log_file=str(log)))
    assert checked.fields["console_log_file"] == {"found": "will be made"}
    log.parent.mkdir()
    log.write_text("earlier")
    checked = look(place, "train", **trainable(place, console_log_file=str(log)))
    assert checked.fields["console_log_file"] == {"found": "will be continued, 7 B so far"}


def test_a_state_to_go_on_from_is_more_than_a_folder(place):
    state = place / "a-state"
    state.mkdir()
    assert "error" in look(place, "train", resume=f'"{state}"').fields["resume"]
    write_state(state)
    checked = look(place, "train", resume=f'"{state}"')
    assert "found" in checked.fields["resume"]
    assert checked.draft.values["resume"] == str(state)
    (state / "state.json").write_text("{}")
    broken = look(place, "train", branch=str(state)).fields["branch"]["error"]
    assert "state.json or sums.json is missing or damaged" in broken


def test_the_latest_state_is_no_path_and_a_resumed_training_keeps_its_settings(place):
    assert look(place, "train", resume="latest").draft.values["resume"] == "latest"
    assert ("error", "resume") not in found(look(place, "train", **trainable(place, resume="latest")))
    write_state(place / "a-state", options={"learning_rate": 0.5})
    checked = look(place, "train", **trainable(place, resume=str(place / "a-state")))
    (said,) = [one.text for one in checked.findings if (one.level, one.field) == ("error", "resume")]
    assert "its options are not those of now: --learning_rate 0.5 -> " in said
    assert ("error", "branch") not in found(look(place, "train", **trainable(place, branch=str(place / "a-state"))))
    both = trainable(place, branch=str(place / "a-state"), resume=str(place / "a-state"))
    assert ("error", "branch") in found(look(place, "train", **both))


def test_captions_are_shown_as_they_are_trained(place):
    values = trainable(place)
    entries = {str(place / "pics" / f"{i}.png"): {"caption": f"{i}\nmore", "tags": "a, b"} for i in range(3)}
    Path(values["in_json"]).write_text(json.dumps(entries))
    values |= {"resolution": "64", "cache_latents": True}

    def shown(**more):
        checked = look(place, "train", **values, **more)
        assert not checked.blocks(confirmed=False), checked.findings
        return next(f.text for f in checked.findings if f.text.startswith("As trained"))

    assert shown() == 'As trained: "0, a, b" · "1, a, b" · "2, a, b"'
    assert shown(caption_prefix="sks", caption_tag_dropout_rate="1", keep_tokens="1") == (
        'As trained: "sks 0" · "sks 1" · "sks 2"'
    )
    assert shown(caption_dropout_rate="1") == 'As trained: "" · "" · ""'
    assert shown(enable_wildcard=True, caption_suffix="x" * 99).count("…") == 3
    refused = look(place, "train", **values, caption_separator=",", secondary_separator=", ")
    assert ("error", "secondary_separator") in found(refused)
    assert ("warning", "keep_tokens") in found(look(place, "train", **values, keep_tokens="1"))
    assert ("warning", "token_warmup_min") in found(look(place, "train", **values, token_warmup_min="2"))


def test_a_file_of_datasets_takes_the_place_of_the_image_list(place):
    file = place / "data.toml"
    for i in range(3):
        (place / "pics" / f"{i}.caption").write_text("a meadow")
    config = '[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "pics"\n'
    values = {key: value for key, value in trainable(place).items() if key not in ("in_json", "train_data_dir")}
    file.write_text(config)
    checked = look(place, "train", **values, dataset_config=str(file))
    assert not checked.blocks(confirmed=True), checked.findings
    said = [finding.text for finding in checked.findings]
    assert "The dataset file can be read: datasets 1, folders and metadata files 1." in said
    # What the project fills in by itself does not stand in the way.
    linked = look(place, "train", **values, dataset_config=str(file), in_json="gone.json")
    assert not linked.blocks(confirmed=True)
    assert linked.fields["in_json"]["found"] == "Not needed: the pictures come from elsewhere."
    file.write_text(config.replace("pics", "gone"))
    gone = look(place, "train", **values, dataset_config=str(file))
    assert text(gone, "dataset_config") == "The file names gone, which is not there."
    file.write_text(config.replace("pics", "../elsewhere"))
    outside = look(place, "train", **values, dataset_config=str(file))
    assert "elsewhere lies outside" in text(outside, "dataset_config")
    file.write_text(config + "shufle_caption = true")
    wrong = look(place, "train", **values, dataset_config=str(file))
    assert "there is no key shufle_caption. Did you mean shuffle_caption?" in text(wrong, "dataset_config")


@pytest.mark.parametrize(
    ("values", "level", "flag", "said"),
    [
        ({"optimizer_type": "prodigy", "learning_rate": "1e-5"}, "warning", "learning_rate", "is far too low"),
        ({"optimizer_type": "prodigy", "learning_rate": "1"}, None, "learning_rate", ""),
        ({"optimizer_type": "AdamW", "learning_rate": "1"}, "warning", "learning_rate", "unusual for a whole model"),
        ({"optimizer_type": "AdaFactor", "learning_rate": "1"}, None, "learning_rate", ""),
        ({"optimizer_type": "AdaFactor", "learning_rate": "1", "optimizer_args": "relative_step=False"}, "warning",
         "learning_rate", "unusual"),
        ({"learning_rate_te": "1e-6"}, "warning", "learning_rate_te", "no effect"),
        ({"learning_rate_te": "1", "train_text_encoder": True}, None, "learning_rate_te", ""),
        ({"optimizer_type": "DAdaptAdam", "learning_rate_te": "0.5", "learning_rate": "1", "train_text_encoder": True},
         "error", "learning_rate_te", "takes one learning rate for everything"),
        ({"lr_scheduler": "adafactor:1e-3"}, "error", "lr_scheduler", "needs the optimizer AdaFactor"),
        ({"lr_scheduler": "adafactor", "optimizer_type": "adafactor"}, None, "lr_scheduler", ""),
        ({"lr_scheduler": "cosine", "optimizer_type": "AdamWScheduleFree"}, "warning", "lr_scheduler", "own way"),
        ({"lr_warmup_steps": "10%", "optimizer_type": "ScheduleFreeAdamW"}, "warning", "lr_warmup_steps", "own way"),
        ({"lr_scheduler_type": "StepLR", "optimizer_type": "AdaFactor"}, "error", "lr_scheduler_type", "leave this"),
        ({"lr_scheduler_type": "StepLR", "lr_warmup_steps": "10%"}, "error", "lr_warmup_steps", "Leave one of them"),
        ({"lr_scheduler": "piecewise_constant"}, "error", "lr_scheduler_args", "needs its steps"),
        ({"lr_scheduler": "piecewise_constant", "lr_scheduler_args": "step_rules=1:2"}, "error",
         "lr_scheduler_args", "step_rules"),
        ({"lr_scheduler": "piecewise_constant", "lr_scheduler_args": "step_rules=1:2,0.1"}, None,
         "lr_scheduler_args", ""),
        ({"lr_scheduler_type": "StepLR", "lr_scheduler_args": "step_size"}, "error", "lr_scheduler_args", "name=value"),
        ({"optimizer_args": "it's"}, "error", "optimizer_args", "name=value"),
        ({"optimizer_args": "betas=(0.9,"}, "error", "optimizer_args", "Put quotes around a text"),
        ({"optimizer_args": "'betas=(0.9, 0.99)' weight_decay=0.01"}, None, "optimizer_args", ""),
        ({"lr_warmup_steps": "10%"}, None, "lr_warmup_steps", ""),
    ],
)  # fmt: skip
def test_rates_and_schedules_suit_the_optimizer(place, values, level, flag, said):
    checked = look(place, "train", **trainable(place, **values))
    levels = [one for one, blamed in found(checked) if blamed == flag and one in ("error", "warning")]
    assert levels == ([level] if level else [])
    if level:
        assert said in text(checked, flag)


def test_secrets_are_not_taken(place):
    checked = look(place, "train", **trainable(place, huggingface_token="hf_secret"))
    assert ("error", "huggingface_token") in found(checked)
    assert "HF_TOKEN" in text(checked, "huggingface_token")
    assert "hf_secret" not in repr(checked)


def test_uploads_need_a_repository_a_token_and_states(place, monkeypatch):
    monkeypatch.setattr("kohya_gui.saving_rules.get_token", lambda: None)
    values = trainable(place, huggingface_repo_id="me/cats", save_state_to_huggingface=True)
    assert {("error", "huggingface_repo_id"), ("error", "save_state_to_huggingface")} <= found(
        look(place, "train", **values)
    )
    assert "hf auth login" in text(look(place, "train", **values), "huggingface_repo_id")
    monkeypatch.setattr("kohya_gui.saving_rules.get_token", lambda: "hf_x")
    values["save_state"] = True
    assert not {field for _, field in found(look(place, "train", **values))} & set(values)
    values["huggingface_repo_id"] = "cats"
    assert "owner/name" in text(look(place, "train", **values), "huggingface_repo_id")
    values["huggingface_repo_id"] = ""
    assert ("error", "save_state_to_huggingface") in found(look(place, "train", **values))


def test_a_state_on_the_hub_is_no_path(place):
    values = trainable(place, resume="me/cats/x-state:main", resume_from_huggingface=True)
    checked = look(place, "train", **values)
    assert checked.draft.values["resume"] == "me/cats/x-state:main"
    assert "resume" not in {field for _, field in found(checked)}
    values["resume"] = ""
    assert ("error", "resume_from_huggingface") in found(look(place, "train", **values))


@pytest.mark.parametrize(
    ("flag", "value", "said"),
    [
        ("output_name", "a:b", "must be a plain name"),
        ("output_name", "n" * 300, "is a file name"),
        ("output_name", "///", "is a file name"),
        ("log_tracker_name", "a/b", "must be a plain name"),
        ("output_dir", "d" * 300, "cannot be a path"),
        ("sample_prompts", "~nobody-of-this-name/x.txt", "cannot be a path"),
        ("console_log_file", "pics", "is a folder. Name a file."),
        ("metadata_thumbnail", "notes.txt", "is no picture"),
        ("log_tracker_config", "notes.txt", "is no TOML"),
        ("sample_prompts", "empty.txt", "has no prompts"),
    ],
)
def test_what_the_program_would_refuse_is_said_beside_the_field(place, flag, value, said):
    (place / "notes.txt").write_text("just words")
    (place / "empty.txt").touch()
    (place / "out").mkdir()
    checked = look(place, "train", **trainable(place) | {"sample_at_first": True, flag: value})
    assert said in text(checked, flag)
    assert [f.field for f in checked.findings if f.level == "error"].count(flag) == 1


def test_files_out_of_reach_are_not_opened(place, tmp_path_factory):
    secret = tmp_path_factory.mktemp("elsewhere") / "secret.txt"
    secret.write_text("x = 'no")
    checked = look(place, "train", **trainable(place, log_tracker_config=str(secret)))
    errors = [f.text for f in checked.findings if f.field == "log_tracker_config"]
    assert len(errors) == 1 and "lies outside the folders" in errors[0]


@pytest.mark.parametrize(
    ("lines", "more", "said"),
    [
        ("face_crop_aug_range = [4.0, 2.0]", {}, "is no range"),
        ("color_aug = true", {"cache_latents": True}, "color_aug shows pictures differently each time"),
        ('secondary_separator = ","', {}, "which would split it"),
        ('metadata_file = "notes.txt"', {}, "notes.txt is broken JSON"),
        ("is_reg = true", {}, "Give it pictures to learn"),
    ],
)
def test_a_dataset_file_is_checked_as_the_program_reads_it(place, lines, more, said):
    (place / "notes.txt").write_text("just words")
    file = place / "data.toml"
    file.write_text(f'[[datasets]]\nresolution = 256\n[[datasets.subsets]]\nimage_dir = "pics"\n{lines}\n')
    checked = look(place, "train", **trainable(place), dataset_config=str(file), **more)
    assert said in text(checked, "dataset_config")


def test_a_dataset_file_leaves_open_how_much_is_saved(place):
    file = place / "data.toml"
    file.write_text('[[datasets]]\nresolution = 256\n[[datasets.subsets]]\nimage_dir = "pics"\n')
    facts = figures(look(place, "train", **trainable(place), dataset_config=str(file), max_train_steps=7))
    assert facts["Steps"] == "7" and " each, " in facts["Saves"] and "Images" not in facts
    by_epochs = look(place, "train", **trainable(place), dataset_config=str(file), max_train_epochs=2)
    assert "Steps" not in figures(by_epochs)


def test_a_dataset_class_is_named_with_its_module(place):
    assert "module.Class" in text(look(place, "train", **trainable(place, dataset_class="foo")), "dataset_class")
