"""A run in wandb as it is kept on disk when nothing is sent: written by a real training, and read back."""

import json
import os
import struct
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts.library.example.sd_models import make_sd1

# wandb is not among the packages that a training needs.
pytest.importorskip("wandb")

ROOT = Path(__file__).parents[2]
KEY = "0123456789abcdef0123456789abcdef01234567"
BLOCK_BYTES, HEAD_BYTES = 32768, 7
SETTINGS = 'group = "mornings"\n[wandb.config]\nlens_mm = 50\n'


def records(path):
    """The records of wandb's file: a head of 7 bytes, then LevelDB's log format."""
    from wandb.proto import wandb_internal_pb2

    data, place, whole = path.read_bytes(), HEAD_BYTES, b""
    while place + HEAD_BYTES <= len(data):
        if BLOCK_BYTES - place % BLOCK_BYTES < HEAD_BYTES:
            place += BLOCK_BYTES - place % BLOCK_BYTES
            continue
        length, kind = struct.unpack("<HB", data[place + 4 : place + HEAD_BYTES])
        place += HEAD_BYTES + length
        whole += data[place - length : place]
        if kind in (1, 4):  # complete, or the last part
            record = wandb_internal_pb2.Record()
            record.ParseFromString(whole)
            yield record
            whole = b""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A training's folder, after it."""
    folder = tmp_path_factory.mktemp("somebodys pictures")
    make_sd1(folder / "base.safetensors")
    Image.effect_noise((64, 64), 60).convert("RGB").save(folder / "a.png")
    (folder / "meta.json").write_text(json.dumps({"a": {"caption": "a grey picture"}}))
    (folder / "prompts.txt").write_text("a morning --w 64 --h 64 --s 1\n")
    (folder / "log.toml").write_text(f"[wandb]\n{SETTINGS}[tensorboard]\nmax_queue = 3\n")
    paths = {"pretrained_model_name_or_path": "base.safetensors", "train_data_dir": ".", "in_json": "meta.json"}
    paths |= {"output_dir": "out", "logging_dir": "logs", "sample_prompts": "prompts.txt"}
    command = [f"--{name}={folder / path}" for name, path in paths.items()]
    command += ["--resolution=64", "--max_train_epochs=2", "--seed=3", "--output_name=X", "--sample_every_n_epochs=1"]
    command += ["--log_with=all", f"--log_tracker_config={folder / 'log.toml'}", "--log_tracker_name=meadow"]
    command += ["--log_config", "--wandb_run_name=first", f"--wandb_api_key={KEY}", "--learning_rate=1e-5"]
    environment = os.environ | {"WANDB_MODE": "offline", "OMP_NUM_THREADS": "1", "HOME": str(folder / "home")}
    script = ROOT / "sd_scripts" / "fine_tune.py"
    done = subprocess.run(
        [sys.executable, script, *command], cwd=folder, env=environment, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert KEY not in done.stdout + done.stderr
    return folder


@pytest.fixture(scope="module")
def run(folder):
    """{kind of record: records}."""
    [path] = folder.glob("logs/2*/wandb/offline-run-*/run-*.wandb")
    found = {}
    for record in records(path):
        found.setdefault(record.WhichOneof("record_type"), []).append(record)
    return found


def values(items):
    """{name: value} of a record's items."""
    return {item.key or "/".join(item.nested_key): json.loads(item.value_json) for item in items}


def test_the_run_is_named_and_carries_the_options(run):
    [record] = [record.run for record in run["run"]]
    assert (record.project, record.display_name, record.run_group) == ("meadow", "first", "mornings")
    config = values(record.config.update)
    assert (config["learning_rate"], config["train_batch_size"], config["lens_mm"]) == (1e-5, 1, 50)
    assert config["pretrained_model_name_or_path"] == "base.safetensors"
    assert "wandb_api_key" not in config


def test_figures_and_samples_are_logged(run):
    rows = {}
    for record in run["history"]:
        row = values(record.history.item)
        rows.setdefault(row.get("_step", record.history.step.num), {}).update(row)
    assert sorted(rows) == [1, 2]
    for step, row in rows.items():
        assert {"loss/current", "loss/average", "loss/epoch_average", "lr/unet", "grad_norm"} <= set(row), step
        assert row["lr/unet"] == 1e-5
        assert row["sample_0/caption"] == "a morning"
        assert (row["sample_0/width"], row["sample_0/height"]) == (64, 64)


def test_the_pictures_lie_beside_it(folder):
    kept = list(folder.glob("logs/2*/wandb/offline-run-*/files/media/images/sample_0_*.png"))
    drawn = list(folder.glob("out/sample/X_e00000?_00_*.png"))
    assert sorted(path.read_bytes() for path in kept) == sorted(path.read_bytes() for path in drawn)
    assert len(kept) == 2


def test_tensorboard_is_written_as_well(folder):
    assert len(list(folder.glob("logs/2*/meadow/events.out.tfevents.*"))) == 1


def test_no_secret_and_no_command_line_is_kept(folder, run):
    assert "environment" not in run and "output_raw" not in run
    for path in folder.rglob("*"):
        if path.is_file() and "base" not in path.name:
            assert KEY.encode() not in path.read_bytes(), path
    [path] = folder.glob("logs/2*/wandb/offline-run-*/run-*.wandb")
    assert b"--max_train_epochs" not in path.read_bytes() and b"base.safetensors" in path.read_bytes()
    assert str(folder).encode() not in path.read_bytes()


def test_without_a_key_one_sentence_says_what_to_do(folder):
    code = (
        "from sd_scripts.library.report import Report\n"
        "from sd_scripts.library.train.boards import open_boards\n"
        "from sd_scripts.options.fine_tune import FineTuneOptions\n"
        "options = FineTuneOptions()\n"
        "options.logging.log_with = 'wandb'\n"
        "with open_boards(options, True, Report()): pass"
    )
    environment = {name: value for name, value in os.environ.items() if not name.startswith("WANDB")}
    environment |= {"HOME": str(folder / "home"), "WANDB_MODE": "online"}
    asked = {"cwd": ROOT, "env": environment, "capture_output": True, "text": True, "timeout": 60}
    done = subprocess.run([sys.executable, "-c", code], stdin=subprocess.DEVNULL, **asked)
    assert "BadOption: --log_with: wandb does not start: No API key configured." in done.stderr
    assert "Set WANDB_API_KEY, or WANDB_MODE=offline to send nothing." in done.stderr
