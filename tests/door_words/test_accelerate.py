"""What starts several processes: of all that accelerate can be told, nothing that runs another program."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from accelerate.commands.launch import launch_command_parser

from kohya_gui.command import stage_argv
from kohya_gui.launching import FLAGS, SETTINGS, launcher
from kohya_gui.stages import STAGES
from sd_scripts.library.errors import UserError
from sd_scripts.options.cli import parse
from sd_scripts.options.scripts import SCRIPTS

REPO = Path(__file__).resolve().parents[2]
PARSER = launch_command_parser()
THEIRS = {word for action in PARSER._actions for word in action.option_strings if word not in ("-h", "--help")}
OURS = {f"--{flag}" for flag in FLAGS} | {
    "--multi_gpu", "--mixed_precision", "--dynamo_backend", "--config_file", "--quiet",
}  # fmt: skip
SPELT = {word.replace("-", "_") for word in OURS}
EVERYTHING = {"gpu_ids": "0,1", "num_processes": 2, "main_process_port": 1, "num_cpu_threads_per_process": 1,
              "num_machines": 2, "machine_rank": 1, "main_process_ip": "10.0.0.1"}  # fmt: skip


def test_only_these_flags_are_ever_given():
    given = {word.partition("=")[0] for word in launcher(EVERYTHING)[2:]}
    assert given == OURS <= THEIRS and set(EVERYTHING) == set(FLAGS)


@pytest.mark.parametrize("flag", sorted(word for word in THEIRS if word.replace("-", "_") not in SPELT))
def test_no_other_flag_of_accelerate_can_be_given(flag):
    """Neither as a value of the launcher's form, nor in a text: what stands before the script stays what it is."""
    assert launcher({flag.lstrip("-").replace("-", "_"): "evil.py"}) == [sys.executable]
    words = stage_argv(STAGES["train"], {**EVERYTHING, "main_process_ip": flag, "output_name": f"{flag}=evil.py"}, REPO)
    asked = PARSER.parse_args(words[4:])
    assert asked.training_script == str(REPO / "sd_scripts" / "fine_tune.py")
    assert not (asked.module or asked.no_python or asked.tpu or asked.use_deepspeed)
    assert asked.config_file == str(SETTINGS) and asked.main_process_ip == flag


@pytest.mark.parametrize("flag", ["--module", "--no_python", "--main_training_function", "--env"])
def test_a_script_does_not_take_them_either(flag):
    with pytest.raises(UserError):
        parse(SCRIPTS["fine_tune.py"], [flag, "evil"], "fine_tune.py")


def test_nothing_of_the_working_folder_or_of_the_home_is_run_by_a_real_launcher(tmp_path):
    """Modules of any name that the launcher imports, and accelerate's settings in the user's home."""
    canary, home = tmp_path / "canary", tmp_path / "home"
    trap = f"open({str(canary)!r}, 'w')"
    for name in ("yaml", "random", "accelerate", "torch", "sitecustomize", "usercustomize", "evil"):
        (tmp_path / f"{name}.py").write_text(trap)
    settings = home / ".cache" / "huggingface" / "accelerate"
    settings.mkdir(parents=True)
    text = "compute_environment: AMAZON_SAGEMAKER\ndistributed_type: DEEPSPEED\nmain_training_function: evil\n"
    (settings / "default_config.yaml").write_text(text)
    values = {"num_cpu_threads_per_process": 1, "pretrained_model_name_or_path": str(tmp_path / "none.safetensors")}
    environment = {"PATH": os.environ["PATH"], "HOME": str(home), "OMP_NUM_THREADS": "1"}
    argv = stage_argv(STAGES["train"], values, REPO)
    done = subprocess.run(argv, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert "in_json" in done.stderr and not canary.exists(), done.stderr
