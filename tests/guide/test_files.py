"""What is written: for others to read, the same for the same weights, never in the place of a device."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from sd_scripts.library.data.captions import training_text
from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.atomic import replacing_folder, write_text
from sd_scripts.library.io.checkpoints import write_ckpt, write_safetensors

posix = pytest.mark.skipif(os.name == "nt", reason="modes and pipes are of POSIX systems")


@posix
def test_models_are_open_to_others_as_any_new_file_is(tmp_path):
    from safetensors.torch import save_file

    tensors = {"a": torch.ones(2)}
    (tmp_path / "plain").touch()
    write_ckpt(tmp_path / "a.ckpt", tensors)
    write_safetensors(tmp_path / "a.safetensors", tensors)
    with replacing_folder(tmp_path / "state") as beside:
        save_file(tensors, beside / "unet.safetensors")
    written = [tmp_path / "a.ckpt", tmp_path / "a.safetensors", tmp_path / "state" / "unet.safetensors"]
    assert {file.stat().st_mode for file in written} == {(tmp_path / "plain").stat().st_mode}


def test_the_same_weights_give_the_same_ckpt(tmp_path):
    for name in ("a.ckpt", "b.ckpt"):
        write_ckpt(tmp_path / name, {"a": torch.ones(2)})
    assert (tmp_path / "a.ckpt").read_bytes() == (tmp_path / "b.ckpt").read_bytes()


@posix
def test_what_is_no_ordinary_file_stays(tmp_path):
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(BadFile, match="it is no ordinary file"):
        write_text(pipe, "x")
    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_caption_of_several_lines_keeps_its_tags():
    assert training_text("a cat\nand more", "1cat, red") == "a cat, 1cat, red"
    assert training_text(" \n", "1cat, red") == "1cat, red"
    assert training_text("a cat", "") == "a cat"
    assert training_text("", "\n") == ""


def test_the_doctors_help_examines_nothing():
    doctor = Path(__file__).parents[2] / "sd_scripts" / "tools" / "doctor.py"
    done = subprocess.run([sys.executable, doctor, "--help"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 0
    assert "Training two steps" not in done.stdout
