"""Networks with random numbers for tiny models, and a tool's run."""

import importlib
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from sd_scripts.library.models.original import open_original
from sd_scripts.library.program import parse_and_work
from sd_scripts.options.scripts import SCRIPTS
from tests.train.tiny import Recorder

VERSIONS = {"sd1": "sd_v1", "sd2": "sd_v2", "sdxl": "sdxl_base_v1-0"}


def make_network(model, to, rank=3, conv=None, alpha=2.0, seed=0, dora=False, size=0.05):
    """Writes a LoRA, or DoRA, for all layers of a model that networks adapt; `conv`: the rank of 3x3 convolutions."""
    opened, generator, tensors = open_original(str(model)), torch.Generator().manual_seed(seed), {}
    for key, layer in opened.layers.items():
        if not layer.adapted or (layer.among_convs and not conv):
            continue
        shape = opened.shape(layer)
        own = conv if len(shape) == 4 and shape[2] > 1 else rank
        tensors[f"{key}.lora_down.weight"] = torch.randn(own, *shape[1:], generator=generator) * size
        up = torch.randn(shape[0], own, *[1] * (len(shape) - 2), generator=generator)
        tensors[f"{key}.lora_up.weight"] = up * size
        tensors[f"{key}.alpha"] = torch.tensor(alpha)
        if dora:
            lengths = opened.weight(layer).float().flatten(1).norm(dim=1) * 1.1
            tensors[f"{key}.dora_scale"] = lengths.view(-1, *[1] * (len(shape) - 1))
    save_file(tensors, to, {"ss_base_model_version": VERSIONS[opened.kind], "ss_training_comment": "mine"})
    return Path(to)


def run_tool(script, *words):
    """Runs a tool as its command line would. Gives the recorder."""
    recorder = Recorder()
    work = importlib.import_module(f"sd_scripts.{script.removesuffix('.py').replace('/', '.')}").work
    parse_and_work(SCRIPTS[script], work, recorder.report, list(map(str, words)), Path(script).name)
    return recorder


def changes(file):
    """{key: alpha / r * B A} of a file, in float64, written out."""
    tensors = load_file(file)
    return {key: change(tensors, key) for key in {name.split(".")[0] for name in tensors}}


def change(tensors, key):
    """alpha / r * B A of one layer as a matrix."""
    up, down = (tensors[f"{key}.lora_{name}.weight"].double().flatten(1) for name in ("up", "down"))
    return torch.einsum("or,ri->oi", up, down) * float(tensors[f"{key}.alpha"]) / len(down)
