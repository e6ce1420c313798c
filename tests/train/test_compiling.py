"""Compiled code: it is called, one code for all sizes, and it leaves no trace in what is saved."""

import pytest
import torch
from safetensors.torch import load_file
from torch import nn
from torch._dynamo.backends import registry

from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.compiling import check_backend, compile_modules
from sd_scripts.options.device import CompileOptions
from tests.train.tiny import train


@pytest.fixture
def compiled(monkeypatch):
    """How many graphs the backend eager was asked to compile, and how often they were called."""
    found = {"graphs": 0, "calls": 0}

    def counting(graph, inputs):
        found["graphs"] += 1

        def call(*given):
            found["calls"] += 1
            return graph.forward(*given)

        return call

    replace(monkeypatch, "eager", counting)
    yield found
    torch._dynamo.reset()


def replace(monkeypatch, name, backend):
    """Another compiler under a name that torch knows."""
    registry.lookup_backend(name)
    backend._tags = ()
    monkeypatch.setitem(registry._COMPILER_FNS, name, backend)
    torch._dynamo.reset()


def test_the_compiled_code_trains_the_same(tmp_path, compiled):
    prompts = tmp_path / "prompts.txt"
    prompts.write_text("a cat --w 64 --h 64 --s 2\n")
    given = {"max_train_steps": 3, "sample_prompts": str(prompts), "sample_every_n_steps": 2}
    _, plain = train(tmp_path, **given)
    assert compiled == {"graphs": 0, "calls": 0}
    names = load_file(tmp_path / "out" / "X.safetensors").keys()
    _, recorder = train(tmp_path, **given, torch_compile=True, dynamo_backend="eager")
    assert recorder.losses == pytest.approx(plain.losses, rel=1e-5)
    # Called in each step, compiled for the first; samples are drawn without it.
    assert compiled == {"graphs": 1, "calls": 3}
    assert load_file(tmp_path / "out" / "X.safetensors").keys() == names


class Layers(nn.Module):
    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(nn.Conv2d(4, 8, 3, padding=1), nn.GroupNorm(2, 8), nn.Conv2d(8, 4, 3, stride=2))

    def forward(self, given):
        return self.layers(given)


def test_one_code_serves_all_sizes(compiled):
    layers = Layers()
    compile_modules([layers], CompileOptions(torch_compile=True, dynamo_backend="eager"))
    for batch_size, height, width in ((2, 32, 48), (3, 48, 32), (4, 64, 64), (2, 96, 40)):
        layers(torch.randn(batch_size, 4, height, width))
    assert compiled == {"graphs": 1, "calls": 4}


@pytest.mark.parametrize("backend", ["ofi", "nvprims_nvfuser", "tensort"])
def test_a_compiler_that_is_not_there_is_one_sentence(backend):
    with pytest.raises(BadOption, match=f"--dynamo_backend {backend}: this PyTorch has no such compiler") as caught:
        check_backend(CompileOptions(torch_compile=True, dynamo_backend=backend))
    assert caught.value.option == "dynamo_backend"


def test_a_compiler_that_fails_is_one_sentence(monkeypatch):
    def broken(graph, inputs):
        raise RuntimeError("no C++ compiler.\nmore lines")

    replace(monkeypatch, "eager", broken)
    with pytest.raises(BadOption, match=r"does not work here \(no C\+\+ compiler\)\. Use another"):
        check_backend(CompileOptions(torch_compile=True, dynamo_backend="eager"))


def test_without_torch_compile_nothing_is_tried():
    check_backend(CompileOptions(dynamo_backend="ofi"))
