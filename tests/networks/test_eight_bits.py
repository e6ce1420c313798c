"""LoRA stored in 8-bit floats is read as what its numbers are, by all tools and by training; so is an integer alpha."""

import pytest
import torch
from safetensors.torch import load_file, save_file

from sd_scripts.library.example.sd_models import make_sd1
from sd_scripts.library.networks.files import read_network
from tests.networks.made import make_network, run_tool

EIGHT = [torch.float8_e4m3fn, torch.float8_e5m2]


@pytest.fixture(scope="module", params=EIGHT, ids=str)
def files(request, tmp_path_factory):
    """(the model, a LoRA in 8 bits, the same numbers in 32)."""
    folder = tmp_path_factory.mktemp("eight")
    base = make_sd1(folder / "base.safetensors")
    tensors = load_file(make_network(base, folder / "whole.safetensors", size=0.5))
    narrow = {n: t.long() if n.endswith(".alpha") else t.to(request.param) for n, t in tensors.items()}
    save_file(narrow, folder / "narrow.safetensors")
    save_file({name: tensor.float() for name, tensor in narrow.items()}, folder / "same.safetensors")
    return base, folder / "narrow.safetensors", folder / "same.safetensors"


TOOLS = {
    "merged": ("networks/merge_lora.py", "--ratios", "1", "--models"),
    "joined": ("networks/svd_merge_lora.py", "--ratios", "1", "--new_rank", "2", "--models"),
    "resized": ("networks/resize_lora.py", "--new_rank", "2", "--model"),
}


@pytest.mark.parametrize("tool", TOOLS)
def test_tools_write_what_they_make_of_the_same_numbers(files, tool, tmp_path):
    _, narrow, same = files
    made = []
    for file in (narrow, same):
        run_tool(*TOOLS[tool], file, "--save_to", to := tmp_path / f"{tool}_{file.name}", "--save_precision", "float")
        made.append(load_file(to))
    assert made[0].keys() == made[1].keys()
    assert all(torch.equal(tensor, made[1][name]) for name, tensor in made[0].items())


def test_a_check_shows_their_sizes(files):
    _, narrow, same = files
    shown = [run_tool("networks/check_lora_weights.py", file).said.replace(file.name, "") for file in (narrow, same)]
    assert shown[0] == shown[1] and "warning" not in shown[0]


def test_training_and_drawing_read_them(files):
    _, narrow, same = files
    read, whole = read_network(narrow), load_file(same)
    assert all(torch.equal(tensor.float(), whole[name]) for name, tensor in read.items())
    assert all(tensor.dtype == torch.float32 for name, tensor in read.items() if not name.endswith(".alpha"))
