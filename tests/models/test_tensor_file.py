"""Files of tensors as they are written here: the same as safetensors would write, and hashed on the way."""

import hashlib

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save
from torch.utils._pytree import tree_map

from sd_scripts.library.io import tensor_file
from sd_scripts.library.io.checkpoints import write_pickle
from sd_scripts.library.io.tensor_file import write_tensors

TENSORS = {
    "long": torch.arange(3000, dtype=torch.int64),
    "float": torch.randn(40, 77),
    "turned": torch.randn(5, 6).t(),
    "empty": torch.zeros(0, 4),
    "one": torch.tensor(0.5, dtype=torch.float16),
    "odd": torch.randn(77).to(torch.bfloat16),
    "eight": torch.randn(13).to(torch.float8_e4m3fn),
    "flags": torch.tensor([True, False, True]),
}


@pytest.fixture(autouse=True)
def small_rooms(monkeypatch):
    """Tensors span several rooms, and the rooms are used again."""
    monkeypatch.setattr(tensor_file, "ROOM_BYTES", 1024)
    monkeypatch.setattr(tensor_file, "ROOMS", 3)


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def test_a_file_is_as_safetensors_writes_it(tmp_path):
    path = tmp_path / "a"
    assert write_tensors(path, TENSORS, {}, {}) == sha256(path)
    whole = {name: tensor.contiguous() for name, tensor in TENSORS.items()}
    # With one entry: safetensors writes more of them in any order.
    assert path.read_bytes() == save(whole, {"format": "pt"})


def test_numbers_are_converted_as_torch_does(tmp_path):
    path = tmp_path / "a"
    dtypes = {"float": torch.bfloat16, "turned": torch.float16, "empty": torch.float16, "odd": torch.float32}
    assert write_tensors(path, TENSORS, {}, dtypes) == sha256(path)
    for name, tensor in load_file(path).items():
        assert torch.equal(tensor, TENSORS[name].to(dtypes.get(name, tensor.dtype))), name


class Away(torch.Tensor):
    """A tensor of a Mac's GPU, as far as torch can tell: its numbers are to be had by a copy, and in no other way."""

    @staticmethod
    def __new__(cls, held):
        made = torch.Tensor._make_wrapper_subclass(
            cls, held.shape, dtype=held.dtype, strides=held.stride(), device="mps"
        )
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, function, types, args=(), kwargs=None):
        given = tree_map(lambda value: value.held if isinstance(value, cls) else value, (args, kwargs or {}))
        found = function(*given[0], **given[1])
        return args[0] if "copy_" in function.name() else tree_map(cls._away, found)

    @classmethod
    def _away(cls, value):
        return cls(value) if isinstance(value, torch.Tensor) else value


@pytest.mark.parametrize("dtypes", [{}, {"float": torch.bfloat16, "odd": torch.float32}])
def test_tensors_of_a_device_that_is_neither_cpu_nor_cuda(tmp_path, dtypes):
    away = {name: Away(tensor.contiguous()) for name, tensor in TENSORS.items()}
    assert {(tensor.device.type, tensor.is_cuda) for tensor in away.values()} == {("mps", False)}
    assert write_tensors(tmp_path / "a", away, {}, dtypes) == write_tensors(tmp_path / "b", TENSORS, {}, dtypes)


def test_a_header_holds_names_of_files_that_are_no_utf_8(tmp_path):
    told = {"title": "gr\udcfcn", "gr\udcfcn": "猫"}
    write_tensors(tmp_path / "a", TENSORS, told, {})
    with safe_open(tmp_path / "a", "pt") as file:
        assert file.metadata() == {"format": "pt", "title": r"gr\udcfcn", r"gr\udcfcn": "猫"}


def test_a_pickle_reads_back(tmp_path):
    value = {"state": {0: dict(TENSORS)}, "groups": [1, "two"]}
    assert write_pickle(tmp_path / "a.pt", value) == sha256(tmp_path / "a.pt")
    found = torch.load(tmp_path / "a.pt", weights_only=True)
    assert found["groups"] == [1, "two"]
    assert all(torch.equal(found["state"][0][name], tensor) for name, tensor in TENSORS.items())


def test_where_memory_is_short_fewer_rooms_do(tmp_path, monkeypatch):
    rooms, empty = [], torch.empty

    def first_only(*size, **given):
        if rooms:
            raise RuntimeError("can't allocate memory")
        rooms.append(empty(*size, **given))
        return rooms[0]

    monkeypatch.setattr(tensor_file.torch, "empty", first_only)
    assert write_tensors(tmp_path / "a", TENSORS, {}, {}) == sha256(tmp_path / "a")
