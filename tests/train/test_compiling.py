"""Compiled code: it is called, once for all sizes, and leaves no trace in names."""

import pytest
import torch
from safetensors.torch import load_file

from sd_scripts.library.data.dataset import FineTuneData, Showing
from sd_scripts.library.errors import BadOption
from sd_scripts.library.train.compiling import check_backend
from sd_scripts.options.device import CompileOptions
from tests.train.tiny import tiny_data, train


@pytest.fixture
def compiled(monkeypatch):
    """The graphs that eager was asked to compile, and how often they were called."""
    from torch._dynamo.backends import registry

    torch._dynamo.reset()
    found = {"graphs": 0, "calls": 0}

    def counting(graph, inputs):
        found["graphs"] += 1

        def call(*given):
            found["calls"] += 1
            return graph.forward(*given)

        return call

    monkeypatch.setitem(registry._COMPILER_FNS, "eager", counting)
    yield found
    torch._dynamo.reset()


COMPILED = {"torch_compile": True, "dynamo_backend": "eager"}


def mixed_sizes():
    """Pictures of four sizes, each a batch of its own."""
    parts = [tiny_data(1, side_px=side_px) for side_px in (64, 128, 192, 256)]
    for number, part in enumerate(parts):
        part.images[0] = part.images[0].__class__(f"picture{number}", *vars(part.images[0]).values().__iter__().__next__()) if False else part.images[0]
    return parts


def test_the_compiled_code_trains(tmp_path, compiled):
    _, plain = train(tmp_path)
    assert compiled == {"graphs": 0, "calls": 0}
    _, recorder = train(tmp_path, **COMPILED)
    assert recorder.losses == pytest.approx(plain.losses, rel=1e-5)
    assert compiled["calls"] >= 3
