"""What a form is told: what lies at its paths, what a start means in figures, and its command as a file."""

import json
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from safetensors.numpy import save_file

from kohya_gui import api, devices, looking
from kohya_gui.checks import check
from kohya_gui.counted import counted
from kohya_gui.facts import estimates
from kohya_gui.files import Roots
from kohya_gui.memory import state_bytes
from kohya_gui.past import Pace, Past, nearest
from kohya_gui.project import Project
from kohya_gui.runs.store import Outcome
from kohya_gui.stages import STAGES
from kohya_gui.training_plan import training_plan
from sd_scripts.library import events
from sd_scripts.library.data.dataset_options import asked_datasets
from sd_scripts.library.data.read_dataset import open_data
from sd_scripts.library.report import Report
from sd_scripts.options.fine_tune import FineTuneOptions
from sd_scripts.options.spec import from_values, option_specs
from tests.states import write_state

SIZES = ((96, 64), (64, 96), (64, 64), (128, 64))


@pytest.fixture
def place(tmp_path):
    """Two folders of pictures, a metadata file, and a model of 1,000 parameters in its U-Net."""
    for name, count in (("pics", 7), ("reg", 3)):
        (tmp_path / name).mkdir()
        for i in range(count):
            Image.new("RGB", SIZES[i % len(SIZES)]).save(tmp_path / name / f"{i}.png")
            if i != 2:
                (tmp_path / name / f"{i}.txt").write_text("a picture")
    entries = {str(tmp_path / "pics" / f"{i}.png"): {"caption": "x" if i else ""} for i in range(7)}
    (tmp_path / "meta.json").write_text(json.dumps(entries))
    tensors = {
        "model.diffusion_model.input_blocks.0.0.weight": np.zeros((10, 100), np.float16),
        "cond_stage_model.transformer.x": np.zeros(100, np.float16),
        "first_stage_model.decoder.conv_in.weight": np.zeros(50, np.float16),
    }
    save_file(tensors, tmp_path / "m.safetensors")
    return tmp_path


def look(place, stage="train", **values):
    return check(STAGES[stage], values, Project(work_dir=str(place)), Roots([place]))


def trained(place, **values):
    model, out = str(place / "m.safetensors"), str(place / "out")
    return look(place, **{"pretrained_model_name_or_path": model, "output_dir": out, "output_name": "x", **values})


def figures(checked):
    return {fact.name: fact for fact in checked.facts}


DATASETS = {
    "folders": """
        [general]
        resolution = 64
        caption_extension = ".txt"
        [[datasets]]
        batch_size = 2
        enable_bucket = true
        min_bucket_reso = 32
        max_bucket_reso = 128
        bucket_reso_steps = 32
        [[datasets.subsets]]
        image_dir = "{place}/pics"
        num_repeats = 3
        [[datasets.subsets]]
        image_dir = "{place}/reg"
        is_reg = true
        class_tokens = "thing"
        """,
    "metadata": """
        [[datasets]]
        resolution = 64
        batch_size = 3
        [[datasets.subsets]]
        metadata_file = "{place}/meta.json"
        num_repeats = 2
        [[datasets]]
        resolution = 64
        caption_extension = ".txt"
        [[datasets.subsets]]
        image_dir = "{place}/reg"
        """,
}


@pytest.mark.parametrize("kind", DATASETS)
def test_pictures_and_batches_are_those_of_the_trainer(place, kind):
    file = place / "data.toml"
    file.write_text(DATASETS[kind].format(place=place))
    draft = trained(place, dataset_config=str(file)).draft
    data = open_data(from_values(FineTuneOptions, draft.values), Report())
    plan = data.plan(0, 1)
    told = counted(draft)
    assert told is not None and not told.unread
    assert sum(bucket.batches for bucket in told.buckets) == len(plan)
    trainers = Counter(data.images[item.image].bucket_px for batch in plan for item in batch)
    shown = Counter()
    for bucket in told.buckets:
        shown[bucket.size_px] += bucket.shown
    assert shown == trainers
    assert sum(source.shown for source in told.sources) == trainers.total()
    assert sum(source.images for source in told.sources) == len(data.images)


def test_a_metadata_file_without_sizes_is_counted_like_the_trainer(place):
    values = {"in_json": str(place / "meta.json"), "resolution": "64,64", "train_batch_size": "4"}
    facts = figures(trained(place, **values, max_train_epochs="3", dataset_repeats="2"))
    assert facts["Images"].value == "6 × 2 = 12"
    assert facts["Batches per epoch"].value == "3 in 1 bucket"
    assert facts["Steps per epoch"].value == "3" and facts["Steps"].value == "9 in 3 epochs"
    assert dict(facts["Batches per epoch"].rows) == {"64 × 64": "12 in 3 batches"}


def test_the_summary_names_what_is_saved_when_and_the_disk_it_takes(place):
    values = {"in_json": str(place / "meta.json"), "resolution": "64,64", "train_batch_size": "6"}
    times = {"max_train_epochs": "5", "save_every_n_epochs": "2", "save_every_n_steps": "2", "save_last_n_steps": "2"}
    checked = trained(place, **values, **times, save_state=True)
    facts = figures(checked)
    assert facts["Saves"].rows == (
        ("x-000002 … x-000004", "every 2 epochs"),
        ("x-step00000002 … x-step00000004", "every 2 steps"),
        ("x", "at the end"),
    )
    plan = training_plan(checked.draft)
    assert (plan.saves, plan.states) == (5, 5)
    model_bytes = (place / "m.safetensors").stat().st_size * 2
    # Of a file that holds no whole model nobody knows how large a state is.
    assert state_bytes(checked.draft) is None
    assert dict(facts["Disk needed"].rows) == {"Models": f"5 × {model_bytes / 1000:.0f} kB", "States": "5 × not known"}


def ended(lab, name, values, device):
    """A training that has ended well, at 2 steps per second."""
    record = lab.store.create("train", name, title="", argv=["x"], work_dir=".", values=values, devices=[device])
    # Of the GPU's memory nothing but its peak is what a run needs.
    on_gpu = {"gpu_bytes": 5e9, "gpu_peak_bytes": 9e9, "gpu_total_bytes": 12e9} if device != "cpu" else {}
    told = [
        events.Phase(name="train", total=3),
        events.Progress(phase="train", done=3, total=3, rate_per_s=2.0),
        events.Metric(step=3, epoch=1, values={"loss": 0.1, "memory_bytes": 3e9, **on_gpu}),
    ]
    lab.store.events_path(record.id).write_text("".join(events.to_line(event) + "\n" for event in told))
    lab.store.finish(record.id, Outcome(state="done", ended=time.time()))


def test_time_and_memory_come_from_the_nearest_run_and_say_so(place, lab, monkeypatch):
    values = {"in_json": str(place / "meta.json"), "resolution": "64,64", "max_train_steps": "600"}
    draft = trained(place, **values).draft
    now = {flag: draft.get(flag) for flag in draft.specs}
    assert nearest(lab.store, STAGES["train"], now) is None
    others = {"other batch": {**now, "train_batch_size": 8}, "the same": now}
    for name, kept in others.items():
        ended(lab, name, kept, "gpu:0" if name == "the same" else "cpu")
    past = nearest(lab.store, STAGES["train"], now)
    assert past.name == "the same" and past.differs == () and (past.pace, past.memory_bytes) == (Pace(0.5), 9e9)
    other = nearest(lab.store, STAGES["train"], {**now, "train_batch_size": 8})
    # What a process on a CPU held at one moment is no measure.
    assert other.name == "other batch" and other.memory_bytes is None
    assert nearest(lab.store, STAGES["latents"], now) is None
    # Whatever changes how a step is computed.
    steps = {"gradient_checkpointing_levels": 1, "opt_channels_last": True, "stochastic_rounding": True, "sdpa": True}
    for flag, value in steps.items():
        assert nearest(lab.store, STAGES["train"], {**now, flag: value}).differs == (flag,)
    # A run of before there was an option was as without it; a name changes nothing.
    ended(lab, "older", {flag: value for flag, value in now.items() if flag not in steps}, "gpu:0")
    assert nearest(lab.store, STAGES["train"], {**now, "output_name": "x"}).name == "older"
    gpu = devices.Gpu("Some GPU", 24_000_000_000)
    monkeypatch.setattr(devices, "gpus", lambda: [gpu])
    told = {fact.name: fact for fact in estimates(draft, Past("old", Pace(0.5), 9.8e9, ()))}
    assert told["Memory"].value == "9.8 GB of 24.0 GB" and "the run old" in told["Memory"].note
    assert told["Time"].value == "about 5 min"
    unlike = {fact.name: fact for fact in estimates(draft, Past("old", Pace(0.5), 9.8e9, ("train_batch_size",)))}
    assert "Memory" not in unlike
    assert unlike["Time"].note.endswith("other values of: Batch size")


def test_sizes_are_read_for_a_moment_only_and_the_next_answer_goes_on(place, monkeypatch):
    values = {"in_json": str(place / "meta.json"), "resolution": "64,64", "train_batch_size": "6"}
    buckets = {"enable_bucket": True, "min_bucket_reso": 64, "max_bucket_reso": 128}
    look_at, go_on = looking.look_at, threading.Event()
    monkeypatch.setattr(looking, "LONGEST_MEASURING_S", 0.0)
    monkeypatch.setattr(looking, "LOOKS", looking.Looks())
    monkeypatch.setattr(looking, "look_at", lambda path: go_on.wait() and look_at(path))
    batches = figures(trained(place, **values, **buckets))["Batches per epoch"]
    assert batches.unfinished and batches.value == "at least 1"
    assert batches.note == "The sizes of 6 images are still being read."
    latents = {"train_data_dir": str(place / "pics"), "max_resolution": "64,64", "min_bucket_reso": 64}
    assert figures(look(place, "latents", **latents))["Buckets"].unfinished
    go_on.set()
    monkeypatch.undo()
    batches = figures(trained(place, **values, **buckets))["Batches per epoch"]
    assert not batches.unfinished and batches.rows


def test_a_check_counts_the_training_once(place, monkeypatch):
    asked = []
    monkeypatch.setattr("kohya_gui.counted.asked_datasets", lambda options: asked.append(1) or asked_datasets(options))
    checked = trained(place, in_json=str(place / "meta.json"), resolution="64,64")
    assert estimates(checked.draft, Past("old", Pace(0.5), None, ())) and figures(checked)["Batches per epoch"]
    assert len(asked) == 1


def test_nothing_is_said_of_the_length_where_a_class_gives_the_data(place):
    facts = figures(trained(place, dataset_class="mine.Data", max_train_epochs="2"))
    assert not {"Images", "Steps", "Batches per epoch"} & set(facts)


def test_latents_tell_buckets_what_is_cut_and_their_size(place):
    values = {"train_data_dir": str(place / "pics"), "in_json": str(place / "meta.json"), "max_resolution": "64,64"}
    limits = {"min_bucket_reso": 32, "max_bucket_reso": 128, "bucket_reso_steps": 32}
    checked = look(place, "latents", **values, **limits, out_json="o.json", model_name_or_path="m.safetensors")
    facts = figures(checked)
    assert facts["Buckets"].value == str(len(facts["Buckets"].rows)) and float(facts["Cut away, on average"].value[:-1])
    assert sum(int(count) for _, count in facts["Buckets"].rows) == 7
    assert facts["Disk needed"].note.endswith("free")


FILES = {
    "dataset_config": ('[[datasets]]\n[[datasets.subsets]]\nimage_dir = "pics"\n', "1 dataset, 1 sources of pictures"),
    "sample_prompts": ("a tree\n# not this\na house --w 256\n", "2 prompts"),
    "log_tracker_config": ("[wandb]\nentity = 'me'\nx = 1\n", "2 settings"),
    "config_file": ("[optimizer]\nlearning_rate = 1e-6\n", "1 setting"),
}


@pytest.mark.parametrize("flag", FILES)
def test_files_say_what_is_in_them(place, flag):
    text, told = FILES[flag]
    (place / "file.toml").write_text(text)
    (place / "file.txt").write_text(text)
    ending = "txt" if flag == "sample_prompts" else "toml"
    assert trained(place, **{flag: str(place / f"file.{ending}")}).fields[flag] == {"found": told}


def test_pictures_states_and_models_of_the_hub_say_what_they_are(place, monkeypatch):
    state = place / "x-state"
    write_state(state, step=1200, epoch=2)
    Image.new("RGB", (32, 16)).save(place / "t.png")
    fields = trained(place, resume=str(state), metadata_thumbnail=str(place / "t.png")).fields
    assert fields["resume"]["found"] == "a state after step 1,200, in epoch 3"
    assert fields["metadata_thumbnail"]["found"].startswith("32 × 16 px, ")
    assert fields["output_dir"]["found"].startswith("folder will be made, ")
    assert fields["pretrained_model_name_or_path"]["found"].startswith("SD1, fp16, ")
    (place / "hub" / "models--me--mine" / "snapshots" / "1").mkdir(parents=True)
    monkeypatch.setattr("kohya_gui.contents.HF_HUB_CACHE", str(place / "hub"))
    hub = lambda name: look(place, "caption_git", model_id=name).fields["model_id"]["found"]  # noqa: E731
    assert "on this machine already" in hub("me/mine") and "downloaded" in hub("me/other")
    # What stands there by default says it too.
    assert "downloaded" in look(place, "caption_git").fields["model_id"]["found"]


def test_masks_are_counted_against_the_pictures(place):
    masks = {"masked_loss": True, "conditioning_data_dir": str(place / "reg")}
    assert trained(place, **masks).fields["conditioning_data_dir"] == {"found": "3 masks"}
    both = trained(place, **masks, train_data_dir=str(place / "pics"))
    assert both.fields["conditioning_data_dir"] == {"found": "masks of 3 of 7 images"}
    # Masks may lie in folders below.
    below = trained(place, masked_loss=True, conditioning_data_dir=str(place), train_data_dir=str(place / "pics"))
    assert below.fields["conditioning_data_dir"] == {"found": "masks of 7 of 7 images"}


@pytest.mark.parametrize("stage", STAGES)
def test_every_path_of_every_stage_says_something(place, stage):
    """With something of its kind at it: what was found. With nothing: why not, or that it will be made."""
    good = {
        "pictures": "pics", "folder": "out", "model": "m.safetensors", "vae": "m.safetensors", "json_in": "meta.json",
        "json_out": "new.json", "file": "words.txt", "file_out": "log.txt", "model_out": "m2.safetensors",
        "picture": "pics/0.png", "project": "dd",
        "state": "x-state",
    }  # fmt: skip
    for name in ("words.txt", "words.toml"):
        (place / name).write_text('a = "b"\n')
    (place / "dd").mkdir()
    (place / "dd" / "project.json").write_text("{}")
    write_state(place / "x-state")
    specs = option_specs(STAGES[stage].options)
    paths = {flag: str(place / good[spec.path]) for flag, spec in specs.items() if spec.path}
    paths |= {"config_file": str(place / "words.toml")} if "config_file" in paths else {}
    for flag, path in paths.items():
        said = look(place, stage, **{flag: path}).fields[flag]
        assert said.get("found" if flag != "rules" else "error"), (flag, said)
        nowhere = look(place, stage, **{flag: str(place / "no" / "thing.x")}).fields[flag]
        assert nowhere.get("error") or "will be made" in nowhere["found"], flag


@pytest.mark.parametrize(
    ("flag", "typed", "limit"),
    [
        ("train_batch_size", "1e99", 4096),
        ("dataset_repeats", "1e9", 1_000_000),
        ("max_train_epochs", "1e99", 1_000_000),
    ],
)
def test_slips_of_the_zero_key_are_refused_in_words(place, flag, typed, limit):
    assert trained(place, **{flag: typed}).fields[flag]["error"] == f"Must be {limit} or less."


def test_a_resolution_has_an_end(place):
    findings = trained(place, in_json=str(place / "meta.json"), resolution="65536").findings
    assert any(one.field == "resolution" and "at most 16384 px" in one.text for one in findings)


def script(studio, pictures, shell="sh", **values):
    given = {"train_data_dir": str(pictures), "out_json": str(pictures / "o.json"), **values}
    return studio.command_script(stage="merge_captions", values=given, shell=shell)


def test_the_script_runs_what_the_page_shows(studio, pictures):
    odd = pictures / "it's 100% $HOME `x` & 画像"
    odd.mkdir()
    Image.new("RGB", (8, 8)).save(odd / "a.png")
    (odd / "a.caption").write_text("one")
    answer = script(studio, odd)
    assert answer["file_name"].startswith("merge_captions-") and answer["file_name"].endswith(".sh")
    assert not set(answer["file_name"]) & set(" '\"$`%&;/\\")
    file = pictures.parent / answer["file_name"]
    file.write_text(answer["text"], encoding="utf-8")
    subprocess.run(["sh", str(file)], check=True, capture_output=True, cwd="/")
    assert json.loads((odd / "o.json").read_text(encoding="utf-8"))["a"]["caption"] == "one"


def test_the_script_for_windows_is_the_same_command(studio, pictures):
    answer = script(studio, pictures, "cmd", debug=True)
    assert answer["file_name"].endswith(".bat")
    lines = answer["text"].split("\r\n")
    assert lines[0] == "@echo off" and lines[-2] == "exit /b %ERRORLEVEL%"
    assert lines[-3] == "  --debug" and lines[-4].endswith(" ^") and sys.executable in answer["text"]


def test_a_script_is_refused_while_a_field_is_wrong_and_for_unknown_shells(studio, pictures):
    assert script(studio, pictures, in_json="nowhere.json") == {
        "error": "The fields that are wrong must be mended first.", "field": "in_json",
    }  # fmt: skip
    assert "no shell" in script(studio, pictures, "fish")["error"]
    assert "cmd cannot run this" in script(studio, pictures, "cmd", out_json=f"{pictures}/a\nb.json")["error"]
    secret = studio.command_script(stage="train", values={"wandb_api_key": "abc"})
    assert secret["field"] == "wandb_api_key" and "text" not in secret


def test_asking_changes_nothing_on_the_disk(studio, pictures):
    home = pictures.parent
    state = lambda: {p: p.stat().st_mtime_ns for p in [home, *home.rglob("*")]}  # noqa: E731
    before = state()
    new = str(home / "new" / "o.json")
    studio.check(stage="merge_captions", values={"train_data_dir": str(pictures), "out_json": new})
    studio.check(stage="train", values={"output_dir": str(home / "out"), "in_json": "x.json"})
    script(studio, pictures)
    assert state() == before


def test_a_mistake_of_ours_is_told_and_not_taken_for_a_lost_server(studio, monkeypatch):
    def broken(*_):
        raise ZeroDivisionError("division by zero")

    monkeypatch.setattr(api, "check", broken)
    answer = studio.call("check", {"stage": "train", "values": {}})
    assert answer["field"] is None and "ZeroDivisionError: division by zero" in answer["error"]
    assert "内部" in studio.call("check", {"stage": "train", "values": {}, "lang": "ja"})["error"]


def test_names_of_scripts_are_safe(studio, pictures):
    project = {"name": "a b; rm -rf", "pictures": [str(pictures)], "work_dir": str(pictures.parent)}
    values = {"train_data_dir": str(pictures), "out_json": "o.json"}
    answer = studio.command_script(stage="merge_captions", values=values, project=project)
    assert Path(answer["file_name"]).name == "merge_captions-a-b-rm-rf.sh"
