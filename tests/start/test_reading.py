"""What is read of a model's file, and the memory that it takes."""

import gc
import struct
import sys
import types

import psutil
import pytest
import torch

from sd_scripts.library.example.sd_models import make_sd1, make_sdxl
from sd_scripts.library.io import checkpoints, mapping
from sd_scripts.library.io.checkpoints import open_checkpoint, write_ckpt, write_safetensors
from sd_scripts.library.models import sd, sdxl
from sd_scripts.library.models.layout import TEXT_PREFIX, VAE_PREFIX
from sd_scripts.library.models.sources import open_source
from sd_scripts.library.models.vae import load_vae
from sd_scripts.library.models.weights import without_numbers

TENSORS = {
    "a.half": torch.arange(6, dtype=torch.float16).reshape(2, 3),
    "b.wide": torch.arange(5, dtype=torch.float64),
    "c.brain": torch.ones(3, dtype=torch.bfloat16),
    "d.flags": torch.tensor([True, False]),
    "e.none": torch.empty(0, 4),
    "f.one": torch.tensor(7, dtype=torch.int64),
}


@pytest.fixture
def asked(monkeypatch):
    """(begin, bytes) of what is asked of files."""
    found = []
    for kind in (mapping.MappedBytes, mapping.ReadBytes):
        piece = kind.piece

        def noted(self, begin, size, piece=piece):
            found.append((begin, size))
            return piece(self, begin, size)

        monkeypatch.setattr(kind, "piece", noted)
    return found


@pytest.mark.parametrize("mapped", [True, False])
def test_tensors_are_the_same_mapped_and_read(tmp_path, mapped):
    path = tmp_path / "some.safetensors"
    write_safetensors(path, TENSORS)
    found = open_checkpoint(path, mapped=mapped).read()
    assert found.keys() == TENSORS.keys()
    assert all(
        found[name].dtype == tensor.dtype and torch.equal(found[name], tensor) for name, tensor in TENSORS.items()
    )


def test_numbers_that_begin_anywhere_in_a_file_are_read(tmp_path):
    header = b'{"x":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}  '[:55]
    path = tmp_path / "odd.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + struct.pack("<2f", 1.5, -2.0))
    assert open_checkpoint(path).tensor("x").tolist() == [1.5, -2.0]


def test_what_is_written_to_a_mapped_tensor_stays_out_of_the_file(tmp_path):
    path = tmp_path / "some.safetensors"
    write_safetensors(path, TENSORS)
    before = path.read_bytes()
    open_checkpoint(path).tensor("b.wide").mul_(3)
    assert path.read_bytes() == before
    assert torch.equal(open_checkpoint(path).tensor("b.wide"), TENSORS["b.wide"])


def test_tensors_of_a_ckpt_that_share_memory_share_it(tmp_path):
    path, whole = tmp_path / "some.ckpt", torch.arange(12.0)
    torch.save({"state_dict": {"first": whole[:4], "last": whole[8:], "across": whole.reshape(3, 4).T}}, path)
    found = open_checkpoint(path).read()
    assert torch.equal(found["last"], whole[8:]) and torch.equal(found["across"], whole.reshape(3, 4).T)
    found["first"].zero_()
    assert found["across"][0, 0] == 0 and torch.load(path)["state_dict"]["first"][1] == 1


@pytest.mark.skipif(sys.platform != "linux", reason="Other systems give pages back in ways of their own.")
@pytest.mark.parametrize("ending", ["safetensors", "ckpt"])
def test_a_model_in_another_number_format_never_lies_in_memory_twice(tmp_path, ending):
    path, mib = tmp_path / f"large.{ending}", 2**20
    tensors = {str(number): torch.ones(8 * mib // 4) for number in range(12)}
    (write_ckpt if ending == "ckpt" else write_safetensors)(path, tensors)
    del tensors
    found, process = open_checkpoint(path).read(), psutil.Process()
    module = torch.nn.ParameterDict(found)
    del found
    begun, most = process.memory_info().rss, 0
    for name in list(module):
        module[name] = module[name].detach().to(torch.bfloat16)
        most = max(most, process.memory_info().rss - begun)
    # 96 MiB in the file, 48 MiB in memory.
    assert most < 48 * mib * 1.1 + 8 * mib


def test_of_a_model_only_the_vae_is_read(tmp_path, asked):
    path = make_sd1(tmp_path / "model.safetensors", dtype=torch.float16)
    places = mapping.safetensors_places(path)
    load_vae(str(path))
    wanted = {(p.begin, p.size_bytes) for name, p in places.items() if name.startswith(VAE_PREFIX)}
    assert asked and set(asked) <= wanted


@pytest.mark.parametrize(
    ("make", "build", "prefixes"),
    [(make_sd1, sd, ("sd1",)), (make_sdxl, sdxl, ("sdxl1", "sdxl2"))],
)
def test_of_a_model_only_the_text_encoders_are_read(tmp_path, asked, make, build, prefixes):
    path = make(tmp_path / "model.safetensors", dtype=torch.float16)
    places = mapping.safetensors_places(path)
    family = build.from_source(open_source(path, kinds=("sd1", "sdxl")), False, None)
    starts = tuple(TEXT_PREFIX[prefix] for prefix in prefixes)
    wanted = {(p.begin, p.size_bytes) for name, p in places.items() if name.startswith(starts)}
    assert asked and set(asked) <= wanted and len(family.text_encoders) == len(prefixes)
    assert family.unet is None and family.vae is None


def test_nothing_is_drawn_by_lot_for_what_is_read_anyway():
    before = torch.random.get_rng_state()
    with without_numbers():
        layer = torch.nn.Linear(3, 3)
    assert layer.weight.is_meta and torch.equal(torch.random.get_rng_state(), before)
    inside = types.SimpleNamespace()
    with without_numbers():
        inside.buffer = torch.zeros(2).fill_(3)
    assert inside.buffer.tolist() == [3, 3]


def test_a_number_format_that_is_not_read_is_named(tmp_path):
    header = b'{"x":{"dtype":"F4","shape":[4],"data_offsets":[0,2]}}   '
    path = tmp_path / "new.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header + b"12")
    with pytest.raises(checkpoints.BadFile):
        open_checkpoint(path)


def test_what_was_written_into_a_tensor_stays_when_another_of_the_same_place_goes(tmp_path):
    write_safetensors(tmp_path / "a.safetensors", {"a": torch.zeros(1 << 16)})
    file = open_checkpoint(tmp_path / "a.safetensors")
    kept, other = file.tensor("a"), file.tensor("a")
    kept += 1
    del other
    gc.collect()
    assert bool((kept == 1).all())
