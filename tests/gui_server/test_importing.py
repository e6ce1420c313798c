"""Settings of other programs: every value is taken as it was meant, or the report says why not."""

import itertools
import json
import re
import shlex
from pathlib import Path

import pytest

from kohya_gui.importing.reading import read_settings
from kohya_gui.importing.taker import HIDDEN
from kohya_gui.importing.trainings import training_report
from kohya_gui.layout import LISTED
from kohya_gui.presets import PresetStore
from kohya_gui.stages import STAGES
from kohya_gui.words import say, speaking
from sd_scripts.library.errors import BadOption
from sd_scripts.options.refused import REFUSED
from sd_scripts.options.spec import option_specs
from sd_scripts.options.values import changed_values, check_value, to_argv

REPO = Path(__file__).resolve().parents[2]
KEYS = json.loads((Path(__file__).parent / "data" / "kohya_ss_keys.json").read_text())
TRAIN = option_specs(STAGES["train"].options)
SAMPLES = {"str": ["x", "12", "1e-4", "None", ""], "int": [0, 3, -1], "float": [0.0, 0.25], "bool": [True, False]}
ALWAYS = {"learning_rate": 1e-5, "output_name": "x", "train_batch_size": 1}


def read(content, name="", stage="train"):
    return read_settings(content if isinstance(content, str) else json.dumps(content), name, stage)


def line_of(report, key):
    (line,) = [line for line in report.lines if line.key == key]
    return line


def is_sound(report):
    """Whether every value that was taken is one that its option takes."""
    for flag, value in report.values().items():
        check_value(option_specs(STAGES[report.stage].options)[flag], value)
    return True


# kohya_ss


@pytest.mark.parametrize("key", KEYS)
def test_every_key_of_kohya_ss_is_known_with_every_type_of_value(key):
    unknown = (say("import.unknown"), say("import.unknown_near", near="").split(".")[0])
    values = [*itertools.chain(*(SAMPLES[kind] for kind in KEYS[key]["types"])), *KEYS[key].get("choices", []), None]
    for value in values:
        report = read({**ALWAYS, key: value})
        lines = [line for line in report.lines if line.key.startswith(key) and line.key not in ALWAYS.keys() - {key}]
        assert lines and is_sound(report), value
        if key != "additional_parameters":
            assert len(lines) == 1
            assert not lines[0].why.startswith(unknown), lines[0]
        assert all(line.why or line.state == "taken" for line in lines)


@pytest.mark.parametrize("key", [key for key in KEYS if key in TRAIN and TRAIN[key].kind in ("int", "float", "number")])
def test_numbers_as_text_are_the_same_numbers(key):
    for value in (1, 3, 512, 0.5):
        as_number, as_text = read({**ALWAYS, key: value}), read({**ALWAYS, key: str(value)})
        assert as_number.values() == as_text.values()
    wrong = read({**ALWAYS, key: "abc"})
    assert key not in wrong.values()
    assert (line_of(wrong, key).state, line_of(wrong, key).given) == ("left", "abc")


@pytest.mark.parametrize(("given", "value"), [(True, True), (1, True), ("1", True), ("true", True), ("True", True),
                                              (False, False), (0, False), ("0", False), ("False", False)])  # fmt: skip
def test_switches_are_read_in_every_way_they_are_written(given, value):
    report = read({**ALWAYS, "shuffle_caption": given})
    assert report.values()["shuffle_caption"] is value
    assert line_of(report, "shuffle_caption").state == ("changed" if str(given) in "01" else "taken")


def test_what_is_no_switch_is_not_taken_for_one():
    report = read({**ALWAYS, "shuffle_caption": "maybe", "seed": True, "min_timestep": False, "clip_skip": [1, 2]})
    assert report.values().keys() == ALWAYS.keys()
    assert {line.key: line.state for line in report.lines if line.key not in ALWAYS} == {
        "shuffle_caption": "left", "seed": "left", "min_timestep": "unused", "clip_skip": "left",
    }  # fmt: skip


def test_empty_fields_and_zeros_that_mean_nothing_leave_the_default():
    report = read({**ALWAYS, "vae": "", "resume": None, "clip_skip": "None", "max_train_steps": 0, "seed": "0",
                   "keep_tokens": "0", "noise_offset": 0})  # fmt: skip
    assert report.values() == {**ALWAYS, "keep_tokens": 0}
    assert line_of(report, "max_train_steps").why == say("import.zero")


@pytest.mark.parametrize(
    ("settings", "values"),
    [
        ({"optimizer": "Adafactor"}, {"optimizer_type": "AdaFactor"}),
        ({"use_8bit_adam": True}, {"optimizer_type": "AdamW8bit"}),
        ({"use_8bit_adam": True, "optimizer": "Lion"}, {"optimizer_type": "Lion"}),
        ({"xformers": True}, {"xformers": True}),
        ({"xformers": "sdpa"}, {"sdpa": True}),
        ({"xformers": "none"}, {}),
        ({"lr_warmup": 10}, {"lr_warmup_steps": 0.1}),
        ({"lr_warmup": "10", "lr_warmup_steps": 200}, {"lr_warmup_steps": 200}),
        ({"lr_warmup": 100}, {}),
        ({"max_resolution": "768,512"}, {"resolution": "768,512"}),
        ({"image_folder": "/p"}, {"train_data_dir": "/p"}),
        ({"epoch": "4", "max_train_epochs": "", "max_train_steps": 0}, {"max_train_epochs": 4}),
        ({"epoch": 4, "max_train_steps": "800"}, {"max_train_steps": 800}),
        ({"train_dir": "/w", "latent_metadata_filename": "l.json", "caption_metadata_filename": "c.json"},
         {"in_json": "/w/l.json"}),
        ({"train_dir": "/w", "latent_metadata_filename": "l.json", "caption_metadata_filename": "c.json",
          "use_latent_files": "No"}, {"in_json": "/w/c.json"}),
        ({"latent_metadata_filename": "l.json"}, {}),
        ({"save_model_as": "same as source model"}, {}),
        ({"optimizer_args": 'decay=0.1 "betas=0.9,0.99"'}, {"optimizer_args": ["decay=0.1", "betas=0.9,0.99"]}),
        ({"sample_prompts": "a cat --n bad"}, {}),
        ({"sample_prompts": "/w/prompts.txt"}, {"sample_prompts": "/w/prompts.txt"}),
        ({"sdxl_no_half_vae": True}, {}),
        ({"LoRA_type": "Standard", "noise_offset_type": "Original", "multires_noise_iterations": 6,
          "noise_offset": 0.1}, {"noise_offset": 0.1, "network_module": "networks.lora"}),
        ({"LoRA_type": "LyCORIS/LoKr", "network_dim": 8, "factor": -1, "conv_dim": 4, "unit": 2, "unet_lr": "1e-4",
          "text_encoder_lr": 0, "LyCORIS_preset": "full"},
         {"network_module": "lycoris.kohya", "network_dim": 8, "unet_lr": 1e-4, "network_train_unet_only": True,
          "network_args": ["algo=lokr", "preset=full", "conv_dim=4", "factor=-1"]}),
        ({"LoRA_type": "Standard", "conv_dim": 4, "text_encoder_lr": 5e-5, "unet_lr": 0, "rank_dropout": 0.1},
         {"network_module": "networks.lora", "text_encoder_lr": [5e-5], "network_train_text_encoder_only": True,
          "network_args": ["rank_dropout=0.1"]}),
        ({"sdxl": True, "sdxl_no_half_vae": True, "sdxl_cache_text_encoder_outputs": True},
         {"no_half_vae": True, "cache_text_encoder_outputs": True}),
        ({"gpu_ids": "0,1", "num_processes": "2", "num_machines": 1, "main_process_port": 0},
         {"gpu_ids": "0,1", "num_processes": 2}),
        ({"mixed_precision": "fp8"}, {}),
        ({"optimizer": "NoSuchOptimizer"}, {}),
        ({"optimizer": "some.module.Optimizer"}, {"optimizer_type": "some.module.Optimizer"}),
        ({"additional_parameters": "--clip_skip 2 --sdpa", "clip_skip": 1}, {"clip_skip": 2, "sdpa": True}),
    ],
)  # fmt: skip
def test_kohya_ss_means_by_its_keys(settings, values):
    assert read({**settings, **ALWAYS}).values() == {**values, **ALWAYS}


def test_the_same_file_also_holds_what_came_before_training():
    settings = {**ALWAYS, "image_folder": "/p", "train_dir": "/w", "caption_metadata_filename": "c.json", "v2": True,
                "latent_metadata_filename": "l.json", "batch_size": "4", "max_resolution": "768,768",
                "wandb_api_key": "s", "max_bucket_reso": "x", "caption_extension": ".txt"}  # fmt: skip
    assert line_of(read(settings), "batch_size").why == say("import.group.stage_latents")
    report = read(settings, stage="latents")
    assert (report.stage, report.values()) == ("latents", {
        "train_data_dir": "/p", "in_json": "/w/c.json", "out_json": "/w/l.json", "v2": True, "batch_size": 4,
        "max_resolution": "768,768",
    })  # fmt: skip
    assert line_of(report, "max_bucket_reso").state == "left"
    assert line_of(report, "wandb_api_key").given == HIDDEN
    merged = {"train_data_dir": "/p", "out_json": "/w/c.json", "caption_extension": ".txt"}
    assert read(settings, stage="merge_captions").values() == merged


def test_what_belongs_elsewhere_says_where():
    report = read({**ALWAYS, "block_lr": "1", "guidance_scale": 3.5, "flux1_checkbox": False, "multi_gpu": True})
    assert line_of(report, "block_lr").why == say("import.family_off", family="SDXL") and not report.about
    assert line_of(report, "multi_gpu").why == say("import.group.launch")
    assert line_of(report, "guidance_scale").state == "unused"
    assert line_of(read({**ALWAYS, "flux1_checkbox": True, "guidance_scale": 3.5}), "guidance_scale").state == "left"
    near = line_of(read({**ALWAYS, "gradient_checkpoint": True}), "gradient_checkpoint").why
    assert near == say("import.unknown_near", near="gradient_checkpointing")


def test_refused_flags_are_left_with_their_sentence():
    refused = REFUSED["fine_tune"]
    report = read("\n".join(f"{flag} = 'x'" for flag in refused), "a.toml")
    for flag, sentence in refused.items():
        line = line_of(report, flag)
        assert line.state == "left"
        assert sentence in line.why or line.why == say("import.secret")


def test_the_report_speaks_japanese():
    with speaking("ja"):
        assert "LoRA 用" in line_of(read("fine_tune.py --network_dim 8"), "--network_dim").why


def test_settings_land_in_the_training_that_they_are_for():
    assert read(ALWAYS).stage == "train" and read({**ALWAYS, "sdxl_checkbox": True}).stage == "sdxl_full"
    assert read({**ALWAYS, "network_dim": 8}).stage == "train_lora"
    assert read("network_module = 'networks.lora'", "a.toml").stage == "train_lora"
    assert read("seed = 1", "a.toml", stage="sdxl_full").stage == "sdxl_full"
    assert read("accelerate launch sdxl_train.py --seed 1").stage == "sdxl_full"
    told = {"ss_network_module": "networks.lora", "ss_network_args": '{"conv_dim": "4"}'}
    report = read({"__metadata__": told})
    assert (report.stage, report.values()["network_args"]) == ("train_lora", ["conv_dim=4"])


@pytest.mark.parametrize("method", ["lora", "inversion", "dreambooth", "hypernetwork", "full"])
@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_what_has_no_training_of_its_own_is_read_for_the_nearest_and_says_so(method, family):
    report = training_report("kohya_ss", "", method, family)
    found = STAGES[report.stage]
    assert found.trains and bool(report.about) == ((found.method, found.family) != (method, family))


def test_a_dreambooth_of_sdxl_becomes_a_fine_tuning_of_sdxl():
    report = read({**ALWAYS, "no_token_padding": True, "reg_data_dir": "", "sdxl": True})
    assert report.stage == "sdxl_full" and "DreamBooth" in report.about[0]


SECRET = "hf_verysecret"


@pytest.mark.parametrize(
    "content",
    [
        {**ALWAYS, "huggingface_token": SECRET, "wandb_api_key": SECRET},
        {**ALWAYS, "additional_parameters": f"--huggingface_token {SECRET} --wandb_api_key={SECRET}"},
        f"huggingface_token = '{SECRET}'",
        f"WANDB_API_KEY={SECRET} HF_TOKEN={SECRET} python fine_tune.py --huggingface_token {SECRET}",
        {"version": 2, "stage": "train", "name": "x", "description": "", "scope": "changed",
         "values": {"wandb_api_key": SECRET}},
    ],
)  # fmt: skip
def test_secrets_are_neither_taken_nor_told(content):
    report = read(content)
    assert SECRET not in json.dumps(report.as_json())
    assert say("import.secret") in [line.why for line in report.lines]


# TOML


def test_toml_sections_have_no_meaning_and_values_keep_their_type():
    report = read(
        'seed = 42\n[anything]\nlearning_rate = 1e-5\nshuffle_caption = true\noptimizer_args = ["a=1", "b=2"]\n'
        'resolution = "512,768"\nclip_skip = "two"\n[anything.deep]\nx = 1\n[[datasets]]\n',
        "x.toml",
    )
    assert report.values() == {"seed": 42, "learning_rate": 1e-5, "shuffle_caption": True,
                               "optimizer_args": ["a=1", "b=2"], "resolution": "512,768"}  # fmt: skip
    assert line_of(report, "[anything] clip_skip").state == "left"
    assert line_of(report, "datasets").why == say("import.dataset_config")
    assert line_of(report, "[anything] deep").why == say("import.deep")


# Every option of every stage, there and back


def odd_values(stage):
    """{flag: value} for every option that may travel, odd but sound."""
    values = {}
    for name, spec in option_specs(STAGES[stage].options).items():
        one = {
            "bool": not spec.default,
            "int": int(max(spec.range.low or 0, 8) + 8),
            "float": 1.5e-7 + (spec.range.low or 0),
            "number": (spec.range.low or 0) + 7,
            "str": 'it\'s "$odd" %PATH% 写真\\ -x',
        }[spec.kind]
        if spec.range.high is not None and spec.kind != "bool":
            one = min(one, spec.range.high)
        choices = [*spec.choices, *LISTED.get(name, ())]
        one = next((choice for choice in choices if choice != spec.default), one)
        one = "odd.Module" if name == "optimizer_type" else one
        if not spec.secret:
            values[name] = [one, "b=2"] if spec.many and spec.kind == "str" else [one] if spec.many else one
    return changed_values(STAGES[stage].options, values)


@pytest.mark.parametrize("stage", STAGES)
def test_the_command_of_a_stage_is_read_back(stage):
    values = odd_values(stage)
    argv = ["python", STAGES[stage].script, *to_argv(STAGES[stage].options, values)]
    # shlex.join quotes with ', so that sh reads no variable in it.
    report = read(shlex.join(argv), stage="clean")
    assert (report.stage, report.values()) == (stage, values)
    assert {line.state for line in report.lines} == {"taken"}


@pytest.mark.parametrize("stage", STAGES)
def test_a_preset_travels_through_its_file(stage, tmp_path):
    store = PresetStore(REPO / "presets", tmp_path)
    saved = store.save(stage, "odd", "why 何", odd_values(stage))
    name, text = store.exported(stage, "odd")
    report = read(text, name, "train")
    assert (report.source, report.stage, report.name, report.description) == ("ours", stage, "odd", "why 何")
    assert report.values() == saved.values == odd_values(stage)


def test_toml_of_every_option_is_read_back():
    def written(value):
        return json.dumps(value, ensure_ascii=False)

    values = odd_values("train")
    text = "\n".join(f"{flag} = {written(value)}" for flag, value in values.items())
    assert read(text, "x.toml").values() == values


# Commands


def test_a_pasted_command_with_its_launcher():
    report = read(
        'accelerate launch --num_cpu_threads_per_process=1 --multi_gpu "./sd-scripts/fine_tune.py" \\\n'
        " --learning-rate=2e-6 --v2 --seed abc --output_dir $OUT --max_train_stepz 10 --network_dim 4 \\\n"
        " --adaptive_noise_scale -0.5 --optimizer_args a=1 b=2 --seed 7 stray --clip_skip\n"
    )
    assert report.values() == {"learning_rate": 2e-6, "v2": True, "adaptive_noise_scale": -0.5,
                               "optimizer_args": ["a=1", "b=2", ], "seed": 7}  # fmt: skip
    why = {line.key: line.why for line in report.lines if line.state == "left"}
    assert why["accelerate --multi_gpu"] == say("import.group.launch")
    assert line_of(report, "accelerate --num_cpu_threads_per_process").why == say("import.usual_launch")
    assert why["--output_dir"] == say("import.variable")
    assert why["--max_train_stepz"] == say("import.unknown_near", near="max_train_steps")
    assert why["--network_dim"] == say("import.group.lora")
    assert why["--clip_skip"] == say("import.needs_value")
    assert why["stray"] == say("import.one_too_many")


def test_the_word_none_is_a_value_in_a_command():
    assert read("fine_tune.py --output_name None").values() == {"output_name": "None"}


def test_the_last_of_two_counts():
    report = read("fine_tune.py --seed 1 --seed 2")
    assert [(line.state, line.given) for line in report.lines] == [("unused", "1"), ("taken", "2")]
    assert report.values() == {"seed": 2}


def test_the_script_says_which_stage_is_meant():
    report = read("cd x\npython finetune/make_captions.py /pics --batch_size 4 --caption_extention .txt")
    assert (report.stage, report.values()) == (
        "caption_blip", {"train_data_dir": "/pics", "batch_size": 4, "caption_extension": ".txt"},
    )  # fmt: skip
    assert read("--thresh 0.5", stage="tag_wd14").values() == {"thresh": 0.5}
    assert read("python flux_train.py --seed 1").about and read("python other.py --seed 1").about


# Metadata

LORA = {
    "ss_network_module": "networks.lora", "ss_network_dim": "4", "ss_learning_rate": "0.0001", "ss_seed": "42",
    "ss_optimizer": "bitsandbytes.optim.adamw.AdamW8bit(weight_decay=0.1,betas=(0.9, 0.99))", "ss_clip_skip": "None",
    "ss_resolution": "(512, 768)", "ss_shuffle_caption": "True", "ss_num_epochs": "3", "ss_max_train_steps": "900",
    "ss_batch_size_per_device": "2", "ss_debiased_estimation": "False", "ss_sd_model_name": "base.safetensors",
    "ss_tag_frequency": "{}", "modelspec.prediction_type": "epsilon", "modelspec.resolution": "512x768",
    "modelspec.architecture": "stable-diffusion-v1/lora", "sshs_model_hash": "ab",
}  # fmt: skip


def test_a_header_tells_how_it_was_trained():
    report = read({"__metadata__": LORA}, "x.safetensors")
    assert report.values() == {
        "learning_rate": 1e-4, "seed": 42, "optimizer_type": "AdamW8bit", "resolution": "512,768",
        "optimizer_args": ["weight_decay=0.1", "betas=(0.9,0.99)"], "shuffle_caption": True, "max_train_steps": 900,
        "train_batch_size": 2, "debiased_estimation_loss": False, "network_module": "networks.lora", "network_dim": 4,
    }  # fmt: skip
    assert report.stage == "train_lora" and not report.about
    assert line_of(report, "ss_sd_model_name").why == say("import.name_only")
    assert line_of(report, "ss_tag_frequency").state == line_of(report, "ss_num_epochs").state == "unused"


def test_no_key_that_our_own_training_writes_is_unknown():
    source = (REPO / "sd_scripts/library/train/metadata.py").read_text()
    given = re.findall(r'"(\w+)"', source.partition("_AS_GIVEN = (")[2].partition(")")[0])
    keys = {*re.findall(r'"(ss_\w+|modelspec\.\w+)"', source), *(f"ss_{flag}" for flag in given)}
    report = read({"__metadata__": dict.fromkeys(keys, "x")})
    assert len(given) > 30 and len(report.lines) == len(keys)
    assert not [line for line in report.lines if line.why.startswith(say("import.unknown"))]


def test_a_whole_model_tells_its_second_rate_and_the_class_of_its_schedule():
    header = {"ss_text_encoder_lr": "1e-6", "ss_lr_scheduler": "CosineAnnealingLR", "ss_base_model_version": "sd_v1"}
    report = read({"__metadata__": header})
    flags = {"learning_rate_te": 1e-6, "lr_scheduler_type": "CosineAnnealingLR"}
    assert report.values() == flags
    assert line_of(report, "ss_base_model_version").state == "unused"


def test_newer_headers_tell_it_of_their_data_sets():
    datasets = [
        {"batch_size_per_device": 3, "resolution": [640, 640], "enable_bucket": True, "subsets": [{"keep_tokens": 2}]}
    ]
    report = read({"__metadata__": {"ss_datasets": json.dumps(datasets)}})
    assert report.values() == {"train_batch_size": 3, "resolution": "640,640", "enable_bucket": True, "keep_tokens": 2}


def test_a_velocity_model_of_sd2_is_recognised():
    header = {"modelspec.architecture": "stable-diffusion-v2-768-v", "modelspec.prediction_type": "v"}
    assert read({"__metadata__": header}).values() == {"v2": True, "v_parameterization": True}
    xl = read({"__metadata__": {"modelspec.architecture": "stable-diffusion-xl-v1-base"}})
    assert xl.stage == "sdxl_full" and line_of(xl, "modelspec.architecture").why == say("import.fact")
    other = read({"__metadata__": {"modelspec.architecture": "flux-1-dev"}})
    assert line_of(other, "modelspec.architecture").why == say("import.group.family")


# What cannot be read


@pytest.mark.parametrize(
    ("content", "key"),
    [("", "nothing"), ("{broken", "broken_json"), ("x = = 1", "broken_toml"), ("hello there", "broken_toml"),
     ('{"a": 1, "b": 2}', "unknown_json"), ("x" * 2_000_001, "too_long"), ("{}", "unknown_json")],
)  # fmt: skip
def test_what_holds_no_settings_is_refused_in_a_sentence(content, key):
    with pytest.raises(BadOption) as wrong:
        read(content)
    assert str(wrong.value).startswith(say(f"import.{key}", line=1, why="").split("1")[0].split(": .")[0])


def test_presets_of_earlier_versions_are_brought_forward_and_those_of_newer_ones_refused():
    old = {"version": 1, "stage": "train", "name": "x", "description": "", "values": {"seed": "7", "gone": 1}}
    report = read(old)
    assert report.values() == {"seed": 7} and line_of(report, "gone").state == "left"
    with pytest.raises(BadOption, match="newer version"):
        read({**old, "version": 99})
    with pytest.raises(BadOption):
        read({**old, "stage": "nowhere"})


# Asked by the page


def test_the_studio_reads_texts_and_models_within_its_roots(studio, tmp_path):
    answer = studio.preset_import("train", "python fine_tune.py --seed 5")
    assert answer["report"]["values"] == {"seed": 5}
    model = tmp_path / "home" / "lora.safetensors"
    header = json.dumps({"__metadata__": LORA}).encode()
    model.write_bytes(len(header).to_bytes(8, "little") + header)
    assert studio.preset_import_model(str(model))["report"]["values"]["seed"] == 42
    assert "outside" in studio.preset_import_model("/etc/passwd")["error"]
    assert "error" in studio.preset_import_model(str(tmp_path / "home" / "none.safetensors"))
    (tmp_path / "home" / "old.ckpt").write_bytes(b"x")
    assert "tells nothing" in studio.preset_import_model(str(tmp_path / "home" / "old.ckpt"))["error"]
    (tmp_path / "home" / "bad.safetensors").write_bytes(b"xxxxxxxxxxxx")
    assert "error" in studio.preset_import_model(str(tmp_path / "home" / "bad.safetensors"))


def test_reading_keeps_nothing(studio):
    studio.preset_import("train", json.dumps(ALWAYS), "a.json")
    assert studio.presets("train")["mine"] == []
