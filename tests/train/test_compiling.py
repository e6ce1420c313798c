"""Compiled code: it is called, one code for all sizes, and it leaves no trace in what is saved."""

import io

import pytest
import torch
from diffusers.models.unets.unet_2d_blocks import UpBlock2D
from safetensors.torch import load_file
from torch import nn
from torch._dynamo.backends import registry

from sd_scripts.library.errors import BadOption, TrainingFailed
from sd_scripts.library.report import Report
from sd_scripts.library.train.compiling import check_backend, check_graphs, compile_modules, tell_compiled
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


class Enlarging(nn.Module):
    """What follows the middle of a U-Net."""

    def __init__(self):
        super().__init__()
        self.block = UpBlock2D(32, 32, 32, temb_channels=32, num_layers=1, resolution_idx=0)
        self.out = nn.Conv2d(32, 4, 3, padding=1)

    def forward(self, given, skipped, time):
        return self.out(self.block(given, (skipped,), time))


@pytest.mark.filterwarnings("ignore::DeprecationWarning:torch")
def test_gradients_pass_through_what_enlarges_few_places():
    """PyTorch's compiler for CPUs gave none: the loss was right, and a part of the model did not learn."""
    torch.manual_seed(0)
    block = Enlarging()
    given = torch.randn(1, 32, 2, 2), torch.randn(1, 32, 2, 2), torch.randn(1, 32)
    plain = gradients(block, given)
    compile_modules([block], CompileOptions(torch_compile=True, compile_dynamic="false"))
    for name, gradient in gradients(block, given).items():
        torch.testing.assert_close(gradient, plain[name], rtol=1e-4, atol=1e-4, msg=name)
    torch._dynamo.reset()


def gradients(block, given):
    block.zero_grad()
    block(*given).pow(2).sum().backward()
    return {name: weight.grad.clone() for name, weight in block.named_parameters()}


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


SIZES = ((32, 48), (48, 32), (64, 64), (32, 48), (64, 64))


@pytest.mark.parametrize(
    ("given", "graphs", "said"),
    [
        ({}, 1, "Compiled 1 time,"),
        ({"compile_dynamic": "false"}, 3, "Compiled 3 times,"),
        ({"compile_dynamic": "auto"}, 2, "Compiled 2 times,"),
        ({"compile_dynamic": "false", "compile_cache_size_limit": 2}, 2, "Some sizes ran uncompiled"),
    ],
)
def test_one_code_for_each_size_up_to_a_limit(compiled, given, graphs, said):
    compilation = CompileOptions(torch_compile=True, dynamo_backend="eager", **given)
    check_backend(compilation)
    layers, plain, out = Layers(), Layers(), io.StringIO()
    plain.load_state_dict(layers.state_dict())
    # What it sets is for the whole process.
    with torch._dynamo.config.patch(recompile_limit=8):
        compile_modules([layers], compilation)
        for height, width in SIZES:
            pixels = torch.randn(2, 4, height, width)
            torch.testing.assert_close(layers(pixels), plain(pixels))
        tell_compiled(compilation, Report(out=out))
    # One of them to see that it can be.
    assert compiled["graphs"] == graphs + 1
    assert said in out.getvalue()


@pytest.mark.skipif(torch.cuda.is_available(), reason="There is a GPU.")
@pytest.mark.parametrize("mode", ["reduce-overhead", "max-autotune"])
def test_cuda_graphs_without_a_gpu_are_one_sentence(mode):
    with pytest.raises(BadOption, match=f"--compile_mode {mode} records CUDA graphs, which need an NVIDIA GPU"):
        check_graphs(CompileOptions(torch_compile=True, compile_mode=mode, compile_dynamic="false"))


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


def failing(always):
    """A compiler that fails at sizes that may change, as PyTorch's own does at some models, or at all."""

    def compiler(graph, inputs):
        if always or any(isinstance(one, torch.SymInt) for one in inputs):
            raise RuntimeError("Invalid ranges [0:-1]\nmore lines")
        return graph.forward

    return compiler


@pytest.mark.parametrize("more", [{}, {"validation_split": 0.5, "validate_every_n_steps": 1}])
def test_where_one_code_for_all_sizes_fails_one_for_each_is_made(tmp_path, monkeypatch, more):
    _, plain = train(tmp_path, max_train_steps=2, **more)
    replace(monkeypatch, "eager", failing(always=False))
    _, recorder = train(tmp_path, max_train_steps=2, **more, torch_compile=True, dynamo_backend="eager")
    assert recorder.losses == pytest.approx(plain.losses, rel=1e-5)
    (told,) = [event.text for event in recorder.of("notice") if "compiler" in event.text]
    assert "one code for all sizes (Invalid ranges [0:-1]). One for each size is made instead" in told


def test_where_that_fails_too_it_is_one_sentence(tmp_path, monkeypatch):
    replace(monkeypatch, "eager", failing(always=True))
    with pytest.raises(TrainingFailed, match=r"compiler fails \(Invalid ranges \[0:-1\]\)\. Leave out --torch_compile"):
        train(tmp_path, max_train_steps=1, torch_compile=True, dynamo_backend="eager")
