"""tools/try_steps.py and fit_memory.py from a terminal: what they refuse at once, and how they end."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

from sd_scripts.library.example.sd_models import make_sd1

TOOLS = Path(__file__).parents[2] / "sd_scripts" / "tools"


@pytest.fixture(scope="module")
def training(tmp_path_factory):
    """The words of a training of a tiny LoRA."""
    folder = tmp_path_factory.mktemp("trying")
    pictures = folder / "img" / "2_thing"
    pictures.mkdir(parents=True)
    Image.effect_noise((64, 64), 50).convert("RGB").save(pictures / "a.png")
    make_sd1(folder / "tiny.safetensors")
    given = {
        "pretrained_model_name_or_path": folder / "tiny.safetensors", "train_data_dir": folder / "img",
        "resolution": 64, "output_dir": folder / "out", "network_module": "networks.lora",
    }  # fmt: skip
    return [f"--{flag}={value}" for flag, value in given.items()]


def command(*words, tool="try_steps.py"):
    return [sys.executable, str(TOOLS / tool), *map(str, words)]


def environment(**more):
    return os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"} | more


def run(*words, tool="try_steps.py", **more):
    argv = command(*words, tool=tool)
    return subprocess.run(argv, env=environment(**more), capture_output=True, text=True, timeout=120)


def test_the_figures_are_printed_and_written(training, tmp_path):
    result = tmp_path / "result.json"
    done = run("train_network.py", "--steps", 1, "--room", tmp_path, "--result", result, "--", *training)
    told = json.loads(done.stdout)
    assert done.returncode == 0 and told["fits"] and told["step_s"] > 0 and told["peak_bytes"] > 1e8
    assert json.loads(result.read_text()) == told
    assert os.listdir(tmp_path) == ["result.json"]


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        (["--memory_gb", "abc"], '--memory_gb abc: "abc" is not a number.'),
        (["--steps", "0", "train_network.py"], "--steps 0: Must be 1 or more."),
        (["--room", "not-there", "train_network.py"], "--room not-there: there is no such folder."),
        (["--result", "/dev/null/x.json", "train_network.py"], "Cannot write"),
        (["--memory_gb", "3", "--", "--resolution", "64"], "no script before it: name the script."),
    ],
)
def test_what_cannot_be_used_is_one_sentence_at_once(words, sentence):
    done = run(*words)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("Error: ") and sentence in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_stop_leaves_nothing_behind(training, tmp_path, number):
    argv = command("train_network.py", "--steps", 1000, "--room", tmp_path, "--", *training)
    with subprocess.Popen(argv, env=environment(), stderr=subprocess.PIPE, text=True) as process:
        for _ in range(600):
            if any(tmp_path.iterdir()):
                break
            time.sleep(0.1)
        process.send_signal(number)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 0 and said.endswith("Stopped as asked, before there was a result to keep.\n")
    assert not any(tmp_path.iterdir())


def test_settings_are_not_tried_by_several_processes_at_once(training):
    words = ["--training", "train_network.py", "--", *training]
    done = run(*words, tool="fit_memory.py", RANK="0", WORLD_SIZE="2")
    assert done.returncode == 2 and "start it without a launcher" in done.stderr
