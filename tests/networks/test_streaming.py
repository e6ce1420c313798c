"""Models written tensor by tensor, and the changes of single layers."""

import contextlib
import weakref

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from sd_scripts.library.errors import StoppedAsAsked
from sd_scripts.library.io.headers import safetensors_header
from sd_scripts.library.io.streaming import write_one_by_one
from sd_scripts.library.io.tensor_file import Form
from sd_scripts.library.networks.changes import dora_change
from tests.train.tiny import Recorder

TENSORS = {
    "half": torch.arange(6.0).view(2, 3).half(),
    "brain": torch.arange(5.0).bfloat16(),
    "whole": torch.arange(7),
    "one": torch.tensor(2.5),
    "none": torch.zeros(0, 4),
    "switch": torch.tensor([True, False, True]),
    "8 bits": torch.ones(3).to(torch.float8_e4m3fn),
}


def test_what_is_written_one_by_one_is_an_ordinary_file(tmp_path):
    path = tmp_path / "x.safetensors"
    forms = {name: Form(tensor.dtype, tuple(tensor.shape)) for name, tensor in TENSORS.items()}
    write_one_by_one(path, forms, TENSORS.__getitem__, {"a": "é"}, Recorder().report)
    for name, tensor in load_file(path).items():
        assert tensor.dtype == TENSORS[name].dtype and torch.equal(tensor.float(), TENSORS[name].float()), name
    with safe_open(path, "pt") as file:
        assert file.metadata() == {"format": "pt", "a": "é"} and set(file.keys()) == set(TENSORS)
    assert safetensors_header(path)[0]["half"].shape == (2, 3)
    assert int.from_bytes(path.read_bytes()[:8], "little") % 8 == 0


def test_one_tensor_lies_in_memory_at_a_time(tmp_path):
    alive = []

    def make(name):
        assert sum(one() is not None for one in alive) <= 1, name
        tensor = torch.full((1000,), float(name))
        alive.append(weakref.ref(tensor))
        return tensor

    forms = {str(number): Form(torch.float32, (1000,)) for number in range(5)}
    write_one_by_one(tmp_path / "x.safetensors", forms, make, {}, Recorder().report)
    assert len(alive) == 5


def test_a_tensor_of_another_shape_leaves_no_file(tmp_path):
    report = Recorder().report
    with pytest.raises(ValueError, match="was told"):
        write_one_by_one(tmp_path / "x.safetensors", {"a": Form(torch.float32, (2,))}, _three, {}, report)
    assert not list(tmp_path.iterdir())


def test_a_stop_leaves_no_file_but_comes_too_late_for_the_last_tensor(tmp_path):
    forms = {name: Form(torch.float32, (3,)) for name in "ab"}
    for asked_at in "ab":
        report = Recorder().report

        def make(name, at=asked_at, report=report):
            if name == at:
                report.ask("stop")
            return torch.zeros(3)

        with pytest.raises(StoppedAsAsked) if asked_at == "a" else contextlib.nullcontext():
            write_one_by_one(tmp_path / "x.safetensors", forms, make, {}, report)
        assert [path.name for path in tmp_path.iterdir()] == ([] if asked_at == "a" else ["x.safetensors"])


def _three(_name):
    return torch.zeros(3)


def test_lengths_of_rows_or_of_columns():
    weight, product = torch.tensor([[3.0, 0.0], [0.0, 4.0]]), torch.tensor([[0.0, 4.0], [3.0, 0.0]])
    rows = dora_change(weight, product, torch.tensor([[10.0], [5.0]])) + weight
    assert torch.allclose(rows, torch.tensor([[6.0, 8.0], [3.0, 4.0]]))
    columns = dora_change(weight, product, torch.tensor([[0.6 * 5**0.5, 2.0 * 32**0.5]])) + weight
    assert torch.allclose(columns.norm(dim=0), torch.tensor([0.6 * 5**0.5, 2.0 * 32**0.5]))
