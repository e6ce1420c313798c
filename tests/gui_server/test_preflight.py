"""Every finding before a start: that it appears, and that each of its fixes removes it."""

import importlib.util
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from kohya_gui import found
from kohya_gui.checks import check
from kohya_gui.draft import Fix
from kohya_gui.files import Roots
from kohya_gui.project import Project
from kohya_gui.stages import STAGES, TRAINERS, stage_values
from sd_scripts.options.spec import option_specs

REPO = Path(__file__).parents[2]
RULES = sorted((REPO / "kohya_gui").glob("*rules.py"))
UNET = "model.diffusion_model.input_blocks.0.0.weight"
SD1, SD2, SDXL = "cond_stage_model.transformer.x", "cond_stage_model.model.x", "conditioner.embedders.x"


class Place:
    """A working folder with three pictures, and what is needed to train on them without a finding."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.pics = root / "pics"
        self.pics.mkdir()
        for i in range(3):
            Image.new("RGB", (96, 64)).save(self.pics / f"{i}.png")

    def texts(self, ending: str, count: int = 3) -> None:
        for i in range(count):
            (self.pics / f"{i}{ending}").write_text(f"meadow {i}, flower")

    def latents(self) -> None:
        for i in range(3):
            (self.pics / f"{i}.npz").touch()

    def model(self, mark: str = SD1, **facts: str) -> str:
        path = self.root / "model.safetensors"
        save_file({UNET: np.zeros((2, 2), np.float16), mark: np.zeros(2, np.float16)}, path, facts or None)
        return str(path)

    def metadata(self, *texts: str, full: bool = True, size: tuple[int, int] | None = (512, 512)) -> str:
        path = self.root / "meta_lat.json"
        names = [str(self.pics / f"{i}.png") if full else str(i) for i in range(3)]
        prepared = {"train_resolution": list(size)} if size else {}
        given = texts or tuple(f"meadow {i}" for i in range(3))
        path.write_text(json.dumps({n: {"caption": t, **prepared} for n, t in zip(names, given, strict=True)}))
        return str(path)

    def training(self, **more: object) -> dict[str, object]:
        self.latents()
        given = {"pretrained_model_name_or_path": self.model(), "in_json": self.metadata()}
        return given | {"output_dir": str(self.root / "out"), "output_name": "meadow"} | more

    def latents_stage(self, **more: object) -> dict[str, object]:
        given = {"train_data_dir": str(self.pics), "in_json": self.metadata(), "out_json": str(self.root / "o.json")}
        return given | {"model_name_or_path": self.model(), "full_path": True} | more

    def datasets(self, lines: str = "") -> dict[str, object]:
        file = self.root / "data.toml"
        file.write_text(f'[[datasets]]\nresolution = 64\n[[datasets.subsets]]\nimage_dir = "pics"\n{lines}\n')
        return self.training(dataset_config=str(file), in_json="")

    @property
    def project(self) -> Project:
        return Project(work_dir=str(self.root), output_name="meadow")

    def given(self, stage: str, flag: str) -> object:
        return stage_values(STAGES[stage], self.project).values[flag]

    def look(self, stage: str, values: dict[str, object]):
        return check(STAGES[stage], values, self.project, Roots([self.root]))


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def train(**values: object):
    return lambda place: ("train", place.training(**values))


def merge(stage: str, ending: str = "", count: int = 3, **more: object):
    def given(place: Place):
        if ending:
            place.texts(ending, count)
        return stage, {"train_data_dir": str(place.pics), "out_json": str(place.root / "o.json"), **more}

    return given


def model_of(mark: str, facts: dict[str, str], **values: object):
    base = "pretrained_model_name_or_path"
    return lambda place: ("train", place.training(**values) | {base: place.model(mark, **facts)})


def layered(place: Place):
    names = {f"cond_stage_model.transformer.text_model.encoder.layers.{i}.x": np.zeros(2, np.float16) for i in range(3)}
    save_file({UNET: np.zeros((2, 2), np.float16)} | names, place.root / "model3.safetensors")
    return "train", place.training(pretrained_model_name_or_path=str(place.root / "model3.safetensors"), clip_skip=4)


def with_file(name: str, stage_and_values, text: str = "x"):
    def given(place: Place):
        stage, values = stage_and_values(place)
        (place.root / name).parent.mkdir(exist_ok=True)
        (place.root / name).write_text(text)
        return stage, values

    return given


def gone(count: int):
    def given(place: Place):
        values = place.training(resolution="64")
        for i in range(count):
            (place.pics / f"{i}.png").unlink()
            (place.pics / f"{i}.npz").unlink()
        return "train", values

    return given


def lora(**more):
    """A LoRA, trained on what else is without a fault."""
    given = {"network_module": "networks.lora", "learning_rate": 1e-4}
    return lambda place: ("train_lora", place.training(**(given | more)))


def trained_on(**facts: object):
    """Other metadata under the same training."""
    texts = facts.pop("texts", ())
    values = facts.pop("values", {})
    return lambda place: ("train", place.training(**values) | {"in_json": place.metadata(*texts, **facts)})


def bare_names(place: Place) -> dict[str, object]:
    return {"in_json": place.metadata(full=False)}


def broken(count: int, stage: str = "tag_wd14"):
    def given(place: Place):
        for i in range(count):
            (place.pics / f"{i}.png").write_bytes(b"no picture")
        return stage, {"train_data_dir": str(place.pics)}

    return given


def below(own: bool, stage: str = "tag_wd14", **more: object):
    def given(place: Place):
        (place.pics / "below").mkdir()
        Image.new("RGB", (96, 64)).save(place.pics / "below" / "x.png")
        if not own:
            for path in place.pics.glob("*.png"):
                path.unlink()
        return stage, {"train_data_dir": str(place.pics), **more}

    return given


def small(**more: object):
    def given(place: Place):
        Image.new("RGB", (40, 600)).save(place.pics / "small.png")
        return "latents", place.latents_stage(**more)

    return given


def subset(ending: str, count: int, lines: str = ""):
    def given(place: Place):
        place.texts(ending, count) if ending else None
        return "train", place.datasets(lines)

    return given


def tool(stage: str, *full: str, **values: object):
    """A tool with a place for what it makes; `full`: files that lie in that already."""

    def given(place: Place):
        for name in full:
            (place.root / "made" / name).parent.mkdir(parents=True, exist_ok=True)
            (place.root / "made" / name).write_text("x")
        return stage, {name: str(value).format(root=place.root) for name, value in values.items()}

    return given


MADE = "{root}/made"


def learnt(place: Place):
    """A new word that stands in no caption."""
    place.texts(".caption")
    given = {"token_string": "my-cat", "learning_rate": 5e-3, "resolution": "64", "in_json": ""}
    return "train_inversion", place.training(**given, train_data_dir=str(place.pics))


def dreambooth(place: Place):
    """A named folder whose texts have another ending, so that its name would be trained."""
    (place.pics / "5_sks dog").mkdir()
    for i in range(2):
        Image.new("RGB", (96, 64)).save(place.pics / "5_sks dog" / f"{i}.png")
        (place.pics / "5_sks dog" / f"{i}.txt").write_text("a dog")
    return "dreambooth", place.training(resolution="64", train_data_dir=str(place.pics)) | {"in_json": ""}


SCENES = [
    ("check.word_not_in_captions", learnt),
    ("check.subset_other_texts", dreambooth),
    ("check.folder_full", tool("group_images", "x.png", input_folder="{root}/pics", output_folder=MADE)),
    ("check.folder_full", tool("make_folders", "img/x.png", train_pictures="{root}/pics", output_folder=MADE)),
    ("check.model_folder_full", tool("convert_model", "x.json", model_to_load="x", model_to_save=MADE)),
    ("check.place_needed", tool("edit_captions", folder="{root}/pics")),
    ("check.one_place", tool("edit_captions", folder="{root}/pics", output_folder=MADE, in_place=True)),
    ("value.required", tool("make_folders", output_folder=MADE)),
    ("check.texts_replaced", merge("tag_wd14", ".txt", out_json=None)),
    ("check.deepdanbooru_needed", merge("tag_deepdanbooru", out_json=None)),
    ("check.other_texts", merge("merge_captions", ".txt")),
    ("check.caption_first", merge("merge_captions")),
    ("check.tag_first", merge("merge_tags")),
    ("check.some_without_text", merge("merge_tags", ".txt", 1)),
    ("check.full_path_needed", merge("merge_tags", ".txt", recursive=True)),
    ("check.exists", with_file("o.json", merge("merge_tags", ".txt"), "{}")),
    ("check.exists", with_file("out/meadow.safetensors", train())),
    ("check.keys_are_paths", lambda place: ("latents", place.latents_stage(full_path=False))),
    ("check.keys_are_names", lambda place: ("latents", place.latents_stage() | bare_names(place))),
    ("check.is_sdxl", model_of(SDXL, {})),
    ("check.is_sd", lambda place: ("sdxl_full", place.training(resolution="1024,1024"))),
    ("check.sdxl_latents", lambda p: ("latents", p.latents_stage() | {"model_name_or_path": p.model(SDXL)})),
    ("check.v2_off", model_of(SD2, {})),
    ("check.v2_on", model_of(SD1, {}, v2=True)),
    ("check.v_off", model_of(SD2, {"modelspec.prediction_type": "v"}, v2=True)),
    ("check.v_on", model_of(SD1, {"modelspec.prediction_type": "epsilon"}, v_parameterization=True)),
    ("check.v_sd1", train(v_parameterization=True)),
    ("check.clip_skip", model_of(SD2, {}, v2=True, clip_skip=2)),
    ("check.clip_layers", layered),
    ("path.model_needed", train(pretrained_model_name_or_path="")),
    ("path.not_writable", train(output_dir="model.safetensors/out")),
    ("check.output_dir_needed", train(output_dir="")),
    ("project.output_name_unsafe", train(output_name="a/b")),
    ("check.class_name", train(dataset_class="foo")),
    ("check.address", train(main_process_ip="--module evil")),
    ("check.config_file", with_file("options.toml", train(config_file="options.toml"), "seed = 1")),
    ("check.code_not_installed", train(dataset_class="no_such_package.Data")),
    ("check.code_of_others", train(optimizer_type="fractions.Fraction")),
    ("check.not_with", train(dataset_class="a.B", cache_latents_to_disk=True)),
    ("check.not_with", train(v_pred_like_loss=0.1, v_parameterization=True)),
    ("check.needs", train(cache_info=True)),
    ("check.needs", train(persistent_data_loader_workers=True, max_data_loader_n_workers=0)),
    ("check.needs", train(full_bf16=True)),
    ("check.needs", train(fp8_base=True)),
    ("check.needs", train(dynamo_backend="eager")),
    ("check.needs", train(zero_stage=3)),
    ("check.needs", train(deepspeed=True, zero3_init_flag=True)),
    ("check.needs", train(adaptive_noise_scale=0.1)),
    ("check.needs", train(scale_v_pred_loss_like_noise_pred=True)),
    ("check.needs", train(save_last_n_epochs=1)),
    ("check.needs", train(save_last_n_steps_state=1)),
    ("check.needs", train(async_upload=True)),
    ("check.needs", train(resume_from_huggingface=True)),
    ("check.exclusive", train(fp8_base=True, train_text_encoder=True, mixed_precision="bf16")),
    ("check.exclusive", train(lowram=True, highvram=True)),
    ("check.exclusive", train(fused_backward_pass=True, gradient_accumulation_steps=2)),
    ("check.exclusive", train(deepspeed=True, full_bf16=True, mixed_precision="bf16")),
    ("check.exclusive", train(sdpa=True, mem_eff_attn=True)),
    ("check.fp16_on_cpu", train(mixed_precision="fp16")),
    ("check.idle_without", train(multires_noise_discount=0.5)),
    ("check.idle_with", train(huber_c=0.2)),
    ("check.idle_with", train(huber_scale=2, loss_type="huber")),
    ("check.timesteps", train(min_timestep=9, max_timestep=9)),
    ("check.zero_snr", train(zero_terminal_snr=True)),
    ("check.infinite", train(zero_terminal_snr=True, debiased_estimation_loss=True)),
    ("check.no_loss", train(huber_c=0, loss_type="huber")),
    ("check.in_json_needed", train(in_json="")),
    ("check.folder_needed", trained_on(full=False)),
    ("check.no_text_at_all", trained_on(texts=("", "", ""))),
    ("check.entries_without_text", trained_on(texts=("a", "b", ""))),
    ("check.resolution_needed", trained_on(size=None)),
    ("check.other_resolution", train(resolution="768,768")),
    ("check.latents_missing", lambda place: ("train", place.training(train_data_dir="", flip_aug=True))),
    ("check.changing_cached", train(color_aug=True, cache_latents=True)),
    ("check.latents_unused", train(random_crop=True)),
    ("check.changes_nothing", train(keep_tokens=1)),
    ("check.no_optimizer", train(optimizer_type="Adamm")),
    ("value.not_a_choice", train(lr_scheduler="cosinus")),
    ("check.rate_scaled", train(optimizer_type="prodigy", learning_rate=1e-5)),
    ("check.rate_unusual", train(learning_rate=0.1)),
    ("check.rate_unusual_beside", lora(learning_rate=1e-7)),
    ("check.resolution_of_folders", lora(resolution="", in_json="", train_data_dir="pics")),
    ("check.gpu_list", train(gpu_ids="a")),
    ("check.no_gpu", train(gpu_ids="99")),
    ("check.machine_rank", train(machine_rank=3)),
    ("check.needs", train(num_machines=2, num_processes=2)),
    ("check.text_encoder_off", train(learning_rate_te=1e-6)),
    ("check.one_rate", train(optimizer_type="prodigy", learning_rate=1, learning_rate_te=0.5, train_text_encoder=True)),
    ("check.no_scheduler_class", train(lr_scheduler_type="StepLR", optimizer_type="AdaFactor")),
    ("check.scheduler_class", train(lr_scheduler_type="StepLR", lr_warmup_steps=5)),
    ("check.adafactor_schedule", train(lr_scheduler="adafactor")),
    ("check.schedule_unused", train(lr_scheduler="cosine", optimizer_type="AdaFactor")),
    ("check.step_rules", train(lr_scheduler="piecewise_constant")),
    ("check.prompts_needed", train(sample_at_first=True)),
    ("check.prompts_unused", with_file("p.txt", train(sample_prompts="p.txt"))),
    ("check.logging_dir_needed", train(log_with="tensorboard")),
    ("check.hub_id", train(huggingface_repo_id="cats")),
    ("check.hub_token", train(huggingface_repo_id="me/cats")),
    ("check.folder_read", merge("tag_wd14", out_json=None)),
    ("check.folders_read", below(True, recursive=True)),
    ("check.below_left", below(True)),
    ("check.broken", broken(1)),
    ("check.all_broken", broken(3)),
    ("check.too_small", small(bucket_no_upscale=True)),
    ("check.enlarged", small()),
    ("check.datasets", subset(".caption", 3)),
    ("check.subset_texts", subset(".caption", 3)),
    ("check.subset_some_without", subset(".caption", 2)),
    ("check.subset_other_texts", subset(".txt", 3)),
    ("check.subset_no_text", subset("", 0)),
    ("check.dataset_gone", lambda place: ("train", place.datasets('metadata_file = "gone.json"'))),
    ("check.all_with_text", train()),
    ("check.metadata_read", train()),
    ("check.pictures_gone", gone(1)),
    ("check.pictures_gone", gone(3)),
    ("check.captions_as_trained", train()),
]
# Those that depend on the machine, or need more than a form, have tests of their own below, or in test_launching.py.
ELSEWHERE = {
    "check.no_space", "check.no_wandb", "check.wandb_key", "check.no_xformers", "check.no_deepspeed", "check.looking",
    "check.subset_empty", "check.processes", "check.processes_without_gpu", "check.on_processor",
}  # fmt: skip


def test_every_finding_has_its_scene() -> None:
    keys = {key for path in RULES for key in re.findall(r'"((?:check|path|project|value)\.\w+)"', path.read_text())}
    assert keys == {key for key, _ in SCENES} | ELSEWHERE


@pytest.mark.parametrize(("key", "scene"), SCENES, ids=[f"{key}-{i}" for i, (key, _) in enumerate(SCENES)])
def test_a_finding_appears_and_its_fixes_remove_it(place: Place, key: str, scene, monkeypatch) -> None:
    monkeypatch.setattr("kohya_gui.saving_rules.get_token", lambda: None)
    stage, values = scene(place)
    all_found = place.look(stage, values).findings
    (one, *_) = [finding for finding in all_found if finding.key == key] or pytest.fail(f"{all_found}")
    if one.level in ("error", "warning"):
        assert one.fixes, one
    for fix in one.fixes:
        expect_sound(stage, fix)
        if fix.values:
            # The form takes nothing for what the project gives.
            given = {flag: place.given(stage, flag) if to is None else to for flag, to in fix.values.items()}
            later = place.look(stage, values | given).findings
            assert (one.key, one.field, one.text) not in [(f.key, f.field, f.text) for f in later], fix


def expect_sound(stage: str, fix: Fix) -> None:
    """A fix says something, and the page knows what to do with it."""
    assert fix.label and (fix.values or fix.action)
    specs = specs_of(stage)
    assert fix.values.keys() <= specs
    needed = {"browse": "flag", "show": "pictures", "open": "stage", "write_prompts": None, "": None}[fix.action]
    if needed:
        assert fix.facts[needed]
    if fix.action == "browse":
        assert fix.facts["flag"] in specs
    if fix.action == "open":
        assert fix.facts["stage"] in STAGES and fix.facts["values"].keys() <= specs_of(fix.facts["stage"])


def test_a_finding_calls_other_fields_as_the_form_does(place: Place) -> None:
    def said(**typed: object) -> set[str]:
        return {one.text for one in place.look("train", place.training(**typed)).findings if one.level == "error"}

    assert {"It needs Address of machine 0.", "It needs Port."} <= said(num_machines=2, num_processes=2)
    assert "It needs Precision fp16 / bf16." in said(fp8_base=True)
    assert "Little RAM and Much GPU memory exclude each other. Keep which?" in said(lowram=True, highvram=True)


def specs_of(stage: str) -> set[str]:
    return set(option_specs(STAGES[stage].options))


def test_a_training_without_faults_has_nothing_against_it(place: Place) -> None:
    findings = place.look("train", place.training()).findings
    assert {one.level for one in findings} == {"fine"}, findings
    assert [one.text for one in findings] == [
        'As trained: "meadow 0" · "meadow 1" · "meadow 2"',
        "3 images read from meta_lat.json.",
        "3 of 3 images have text.",
    ]


@pytest.mark.parametrize(
    ("flag", "typed", "mended"),
    [("train_batch_size", "0", 1), ("train_batch_size", "2.6", 3), ("max_train_steps", "0", 1), ("seed", "x", "")],
)
def test_a_value_that_is_none_is_replaced_by_the_nearest(place: Place, flag: str, typed: str, mended: object) -> None:
    values = place.training(**{flag: typed})
    (wrong,) = [one for one in place.look("train", values).findings if one.level == "error"]
    assert wrong.field == flag and wrong.fixes[0].values == {flag: mended}
    assert not place.look("train", values | wrong.fixes[0].values).blocks(confirmed=False)


@pytest.mark.parametrize(
    ("values", "flag", "label"),
    [
        ({"resolution": "128,128"}, "min_bucket_reso", "Shortest side: 128"),
        ({"resolution": "64,64"}, "min_bucket_reso", "Shortest side: 64"),
        ({"resolution": "256,256", "min_bucket_reso": "512"}, "min_bucket_reso", "Reset: Shortest side"),
        (
            {"resolution": "96,96", "bucket_reso_steps": "96", "max_bucket_reso": "960"},
            "min_bucket_reso",
            "Shortest side: 96",
        ),
        ({"resolution": "1536,1536"}, "max_bucket_reso", "Longest side: 1536"),
        ({"bucket_reso_steps": "12", "resolution": "512,512"}, "bucket_reso_steps", "Reset: Bucket step"),
    ],
)
def test_a_limit_of_buckets_that_cannot_be_is_replaced_by_one_that_can(place: Place, values, flag, label) -> None:
    given = place.training(enable_bucket=True, **values)
    wrong = next(one for one in place.look("train", given).findings if one.level == "error")
    assert (wrong.field, [fix.label for fix in wrong.fixes]) == (flag, [label])
    later = place.look("train", given | wrong.fixes[0].values).findings
    assert [one for one in later if one.level == "error"] == []


def test_a_folder_of_folders_is_read_with_its_subfolders(place: Place) -> None:
    stage, values = below(False)(place)
    (wrong,) = [one for one in place.look(stage, values).findings if one.level == "error"]
    assert wrong.fixes[0].label == "Turn on: Folders below"
    assert not place.look(stage, values | wrong.fixes[0].values).blocks(confirmed=False)


def test_metadata_that_is_not_there_leads_to_its_stage(place: Place) -> None:
    values = place.training(in_json=str(place.root / "meta_clean.json"))
    (wrong,) = [one for one in place.look("train", values).findings if one.level == "error"]
    assert wrong.fixes[0].facts == {"stage": "clean", "values": {}}


@pytest.mark.parametrize(
    ("values", "free", "mended"),
    [
        ({"save_every_n_epochs": 1, "max_train_epochs": 9}, 1500, {"save_last_n_epochs": 1}),
        ({}, 300, {"save_precision": "fp16"}),
        ({}, 1, None),
    ],
)
def test_what_does_not_fit_on_the_disk(place: Place, monkeypatch, values, free, mended) -> None:
    monkeypatch.setattr(found, "free_bytes", lambda path: free)
    given = place.training(**values)
    (full,) = [one for one in place.look("train", given).findings if one.key == "check.no_space"]
    offered = [fix.values for fix in full.fixes if fix.values]
    assert offered[:1] == ([mended] if mended else [])
    for fix in offered:
        assert "check.no_space" not in [one.key for one in place.look("train", given | fix).findings]


def test_latents_need_room_too(place: Place, monkeypatch) -> None:
    monkeypatch.setattr(found, "free_bytes", lambda path: 300_000)
    keys = lambda **more: [one.key for one in place.look("latents", place.latents_stage(**more)).findings]  # noqa: E731
    assert "check.no_space" not in keys()
    assert "check.no_space" in keys(flip_aug=True)
    assert "check.no_space" in keys(max_resolution="768,768")


def test_packages_and_keys_that_are_missing(place: Place, monkeypatch) -> None:
    there = importlib.util.find_spec
    gone = {"wandb", "xformers", "deepspeed"}
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name in gone else there(name))

    def mended(key: str, **values: object) -> dict[str, object]:
        (one,) = [f for f in place.look("train", place.training(**values)).findings if f.key == key]
        later = place.look("train", place.training(**values | one.fixes[0].values)).findings
        assert key not in [f.key for f in later]
        return one.fixes[0].values

    assert mended("check.no_wandb", log_with="wandb", logging_dir=str(place.root)) == {"log_with": "tensorboard"}
    assert mended("check.no_xformers", xformers=True) == {"sdpa": True, "xformers": False}
    assert mended("check.no_deepspeed", deepspeed=True) == {"deepspeed": False}

    for name in ("WANDB_API_KEY", "WANDB_MODE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(place.root / "netrc"))
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: there("json") if name == "wandb" else there(name))
    keys = lambda: [f.key for f in place.look("train", place.training(log_with="wandb")).findings]  # noqa: E731
    assert mended("check.wandb_key", log_with="wandb") == {"log_with": ""}
    (place.root / "netrc").write_text("machine api.wandb.ai login user password " + "k" * 40)
    assert "check.wandb_key" not in keys()
    (place.root / "netrc").unlink()
    monkeypatch.setenv("WANDB_MODE", "offline")
    assert "check.wandb_key" not in keys()


@pytest.mark.parametrize(
    ("values", "flag", "said"),
    [
        ({"metadata_title": "t", "save_model_as": "diffusers"}, "metadata_title", "Only .safetensors files have"),
        ({"max_train_epochs": 2, "max_train_steps": 9}, "max_train_steps", "--max_train_epochs decides the length"),
        ({"ddp_timeout": 3}, "ddp_timeout", "there is one process"),
        ({"vae_batch_size": 4}, "vae_batch_size", "changes nothing without --cache_latents"),
        ({"resolution": "512,512"}, "resolution", "the metadata has a prepared size for every picture"),
        ({"wandb_run_name": "x"}, "wandb_run_name", "no effect without --log_with wandb"),
        ({"lr_scheduler": "linear", "lr_scheduler_power": 2}, "lr_scheduler_power", "does not use"),
    ],
)
def test_what_does_nothing_is_noted_before_the_start(place: Place, values, flag: str, said: str) -> None:
    given = place.training(**values)
    checked = place.look("train", given)
    (note,) = [one for one in checked.findings if one.level == "note"]
    assert (note.field, said in note.text) == (flag, True), note
    assert not checked.blocks(confirmed=False)
    assert not [one for one in place.look("train", given | note.fixes[0].values).findings if one.level == "note"]


def test_a_note_offers_only_what_would_silence_it(place: Place) -> None:
    findings = place.look("train", place.training(optimizer_type="AdaFactor", learning_rate=1e-5)).findings
    (note,) = [one for one in findings if one.level == "note"]
    assert "finds its learning rates itself" in note.text and note.fixes == ()


def test_what_is_wrong_and_what_does_nothing_is_said_once(place: Place) -> None:
    findings = place.look("train", place.training(huber_c=0.2, keep_tokens=1, learning_rate_te=1e-6)).findings
    fields = [one.field for one in findings if one.level != "fine"]
    assert sorted(fields) == ["huber_c", "keep_tokens", "learning_rate_te"]


def test_a_dataset_file_shows_its_captions_as_they_are_trained(place: Place) -> None:
    place.texts(".caption")
    Image.new("RGB", (8, 8)).save(place.pics / "x.png")
    (place.pics / "x.png").write_bytes(b"broken")
    findings = place.look("train", place.datasets('caption_prefix = "sks"\nclass_tokens = "thing"')).findings
    texts = [one.text for one in findings]
    assert 'As trained: "sks meadow 0, flower" · "sks meadow 1, flower" · "sks meadow 2, flower"' in texts
    assert "pics: 3 of 4 images have a text." in texts
    (faulty,) = [one for one in findings if one.key == "check.broken"]
    assert (faulty.field, faulty.text) == ("dataset_config", "1 image cannot be read and is left out: x.png.")


def test_an_ending_that_the_file_itself_gives_cannot_be_mended_in_the_form(place: Place) -> None:
    place.texts(".txt")
    findings = place.look("train", place.datasets('caption_extension = ".cap"')).findings
    (wrong,) = [one for one in findings if one.level == "error"]
    assert wrong.key == "check.subset_other_texts" and [fix.action for fix in wrong.fixes] == ["browse"]


def test_an_empty_folder_of_a_dataset_file(place: Place) -> None:
    (place.root / "empty").mkdir()
    values = place.datasets()
    file = Path(str(values["dataset_config"]))
    file.write_text(file.read_text().replace("pics", "empty"))
    assert "check.subset_empty" in [one.key for one in place.look("train", values).findings]


TRAINING_PRESETS = [(stage, path.stem) for stage in TRAINERS for path in (REPO / "presets" / stage).glob("*.json")]


@pytest.mark.parametrize(("stage", "preset"), TRAINING_PRESETS, ids=[f"{s}-{p}" for s, p in TRAINING_PRESETS])
def test_nothing_stands_against_a_preset_of_ours(place: Place, stage: str, preset: str) -> None:
    """On pictures of any size, with a model of its family; that this machine has no GPU is no fault of the preset's."""
    values = json.loads((REPO / "presets" / stage / f"{preset}.json").read_text())["values"]
    mark = SDXL if STAGES[stage].family == "sdxl" else SD2 if values.get("v2") else SD1
    facts = {"modelspec.prediction_type": "v"} if values.get("v_parameterization") else {}
    given = STAGES[stage].usual | place.training()
    # The word that is learnt is the user's own.
    given |= {"token_string": "my-cat"} if STAGES[stage].method == "inversion" else {}
    given |= {"in_json": place.metadata("my-cat, b", "b, my-cat", "c, my-cat", size=None)}
    if "in_json" not in specs_of(stage):
        place.texts(".caption")
        del given["in_json"]
        given |= {"train_data_dir": str(place.pics)}
    given |= {"pretrained_model_name_or_path": place.model(mark, **facts)}
    findings = place.look(stage, {"resolution": "512,512"} | given | values).findings
    told = {(one.field, one.text) for one in findings if one.level in ("error", "warning")}
    assert {field for field, _ in told} <= {"mixed_precision"}, told
