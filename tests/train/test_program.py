"""fine_tune.py as a user starts it: model file, metadata and pictures in; checkpoint, samples, logs and events out."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.models.sd import load
from sd_scripts.library.train.assembly import fine_tune
from sd_scripts.options.cli import parse
from sd_scripts.options.fine_tune import FineTuneOptions
from tests.train.tiny import Recorder

ROOT = Path(__file__).parents[2]
SCRIPT = ROOT / "sd_scripts" / "fine_tune.py"
LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_cpu_threads_per_process", "1", "--cpu"]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    folder = tmp_path_factory.mktemp("my project")
    make_sd1(folder / "base.safetensors")
    metadata = {}
    for name, size in (("wide", (96, 64)), ("tall one", (64, 96)), ("square", (64, 64))):
        Image.effect_noise(size, 60).convert("RGB").save(folder / f"{name}.png")
        metadata[name] = {"caption": f"a {name} picture", "tags": "grey, noise"}
    (folder / "meta.json").write_text(json.dumps(metadata))
    (folder / "prompts.txt").write_text("a picture --w 64 --h 64 --s 2\n")
    return folder


def arguments(project, *more):
    data = ["--in_json", project / "meta.json", "--train_data_dir", project, "--resolution=64,64", "--enable_bucket"]
    buckets = ["--min_bucket_reso=64", "--max_bucket_reso=128", "--bucket_reso_steps=32", "--cache_latents"]
    model = ["--pretrained_model_name_or_path", project / "base.safetensors", "--output_dir", project / "out"]
    return [*map(str, [*data, *buckets, *model]), "--output_name=new", "--seed=3", "--learning_rate=1e-4", *more]


def run(command, project, **environment):
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **environment}
    environment |= {"SD_SCRIPTS_EVENTS": str(project / "events.jsonl")}
    (project / "events.jsonl").unlink(missing_ok=True)
    done = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True, timeout=200)
    events = [json.loads(line) for line in (project / "events.jsonl").read_text().splitlines()]
    return done, events


def test_accelerate_launch_trains(project):
    more = ["--max_train_epochs=1", "--train_text_encoder", "--sample_prompts=prompts.txt", "--sample_at_first"]
    done, events = run([*LAUNCH, str(SCRIPT), *arguments(project, *more, "--logging_dir=logs")], project)
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Warning" not in done.stderr, done.stderr
    phases = [event["name"] for event in events if event["event"] == "phase"]
    assert phases == ["load_model", "dataset", "cache_latents", "train", "save"]
    assert [event["step"] for event in events if event["event"] == "metric"] == [1, 2, 3]
    assert len(list((project / "out" / "sample").glob("new_e000000_00_*.png"))) == 1
    assert len(list((project / "logs").glob("20*/events*"))) == 1
    assert load(str(project / "out" / "new.safetensors")).source_format == "safetensors"


def test_two_processes_train_as_one(project):
    # Plain gradients: AdamW's first steps would blow rounding errors up. Three pictures: one batch is not even.
    plain = ["--max_train_steps=2", "--train_text_encoder", "--optimizer_type=torch.optim.SGD", "--resolution=128,128"]
    plain += ["--min_bucket_reso=128"]
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node=2", str(SCRIPT)]
    command = [*torchrun, *arguments(project, *plain, "--train_batch_size=1")]
    done, events = run(command, project, ACCELERATE_USE_CPU="true")
    assert done.returncode == 0, done.stderr
    two = [event["values"]["loss"] for event in events if event["event"] == "metric"]
    recorder = Recorder()
    fine_tune(
        parse(FineTuneOptions, arguments(project, *plain, "--train_batch_size=2"), "fine_tune.py"), recorder.report
    )
    assert len(two) == 2
    assert two == pytest.approx(recorder.losses, rel=1e-5)


def test_the_dataset_is_shown(project):
    done, events = run([sys.executable, str(SCRIPT), *arguments(project, "--debug_dataset")], project)
    assert done.returncode == 0, done.stderr
    assert "a tall one picture, grey, noise" in done.stderr
    assert events[-1]["event"] == "summary"


def test_mistakes_are_one_sentence(project):
    done, events = run([sys.executable, str(SCRIPT), *arguments(project, "--sample_at_first")], project)
    assert done.returncode == 2
    assert done.stderr.strip() == "Error: Samples need prompts: name a file with --sample_prompts."
    assert events[-1]["option"] == "sample_prompts"


def test_help_is_quick():
    done = subprocess.run([sys.executable, str(SCRIPT), "--help"], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0 and "--sample_at_first" in done.stdout


@pytest.mark.skipif(os.name == "nt", reason="Windows has no pipes of which one end can be closed before a start.")
@pytest.mark.parametrize("script", ["fine_tune.py", "networks/check_lora_weights.py", "launch.py"])
def test_help_may_be_read_in_part(script):
    """As by `head`: nobody is there to read the rest, and that is no fault."""
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, str(ROOT / "sd_scripts" / script), "--help"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, timeout=60)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
