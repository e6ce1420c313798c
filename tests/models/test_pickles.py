"""A .ckpt is read without running anything, whatever it holds, and whichever version of torch wrote it."""

import collections
import pickle
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io.checkpoints import open_checkpoint, write_ckpt
from sd_scripts.library.io.headers import model_facts, pickled_header

TENSORS = {"a.weight": torch.arange(6.0).view(2, 3), "b": torch.ones(2, dtype=torch.bfloat16)}


class Evil:
    """Leaves a file behind when it is unpickled by a naive reader."""

    def __init__(self, mark: Path, call=exec) -> None:
        self.mark, self.call = mark, call

    def __reduce__(self):
        return self.call, (f"open({str(self.mark)!r}, 'w').close()",)


class Foreign:
    """Stands for the classes of other programs that checkpoints hold."""

    def __init__(self) -> None:
        self.state = {"a": [1]}


class ForeignList(list):
    """Rebuilt with append."""


class ForeignDict(dict):
    """Rebuilt with item assignment."""


def save(value, path: Path, legacy: bool = False) -> Path:
    torch.save(value, path, _use_new_zipfile_serialization=not legacy)
    return path


def assert_tensors(path: Path) -> None:
    read = open_checkpoint(path).read()
    assert read.keys() == TENSORS.keys()
    for name, tensor in TENSORS.items():
        assert torch.equal(read[name], tensor)
        assert read[name].dtype == tensor.dtype
    assert {name: fact.shape for name, fact in pickled_header(path).items()} == {"a.weight": (2, 3), "b": (2,)}
    assert {fact.dtype for fact in pickled_header(path).values()} == {"F32", "BF16"}


@pytest.mark.parametrize("legacy", [False, True])
@pytest.mark.parametrize("where", ["beside", "inside", "key", "class"])
def test_malicious_pickles_do_nothing(tmp_path: Path, legacy: bool, where: str):
    mark = tmp_path / "mark"
    value = {
        "beside": {"state_dict": TENSORS, "optimizer": Evil(mark)},
        "inside": {"state_dict": {**TENSORS, "c": Evil(mark)}},
        "key": {"state_dict": TENSORS, "list": [[Evil(mark)], (Evil(mark, eval),)]},
        "class": {"state_dict": collections.OrderedDict(TENSORS), "hyper_parameters": Foreign(), "x": Evil(mark)},
    }[where]
    path = save(value, tmp_path / "evil.ckpt", legacy)
    assert_tensors(path)
    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists(), "a naive reader is harmed, so this test shows something"


def test_a_pickle_that_is_nothing_but_malice_is_refused(tmp_path: Path):
    mark = tmp_path / "mark"
    path = tmp_path / "evil.ckpt"
    path.write_bytes(pickle.dumps(Evil(mark)))
    with pytest.raises(BadFile, match="is no checkpoint, or it is incomplete"):
        open_checkpoint(path)
    with pytest.raises(BadFile, match="is no checkpoint, or it is incomplete"):
        model_facts(path)
    assert not mark.exists()


@pytest.mark.parametrize(
    "code",
    [
        # A dotted name that reaches through an allowed module; protocol 4's way of naming; an extension code.
        b"\x80\x04\x8c\x05torch\x8c\x16FloatStorage.from_file\x93\x8c\x0b/etc/passwd\x85R.",
        b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c\x04true\x85R.",
        b"\x80\x02\x82\x01.",
        b"ctorch\nload\n(S'/etc/passwd'\ntR.",
    ],
)
def test_names_that_are_not_on_the_list_stand_for_nothing(code: bytes):
    from io import BytesIO

    from sd_scripts.library.io import pickles
    from sd_scripts.library.io.checkpoints import _Unpickler

    for unpickler in (pickles.SafeUnpickler, _Unpickler):
        try:
            found = unpickler(BytesIO(code)).load()
        except (pickle.UnpicklingError, ValueError):
            continue  # An extension code that nobody registered.
        assert found is pickles.Inert or isinstance(found, pickles.Inert)


@pytest.mark.parametrize("legacy", [False, True])
def test_foreign_classes_are_passed_over(tmp_path: Path, legacy: bool):
    value = {
        "callbacks": {Foreign: {"best": np.float64(3.5), "scores": np.arange(3)}},
        "things": [Foreign(), ForeignList([1, 2]), ForeignDict(a=1), {Foreign}, torch.float16, torch.Size([1])],
        "state_dict": {**TENSORS, "step": 3},
    }
    assert_tensors(save(value, tmp_path / "lightning.ckpt", legacy))


def test_bare_dicts_and_parameters_are_read(tmp_path: Path):
    assert_tensors(save(TENSORS, tmp_path / "bare.pt"))
    assert_tensors(save({name: torch.nn.Parameter(tensor) for name, tensor in TENSORS.items()}, tmp_path / "p.bin"))


def test_what_we_write_is_read_by_torch_alone(tmp_path: Path):
    write_ckpt(tmp_path / "ours.ckpt", TENSORS)
    assert torch.load(tmp_path / "ours.ckpt", weights_only=True)["state_dict"].keys() == TENSORS.keys()


def packed_by_hand(path: Path, target: Path, kept: tuple[str, ...] = ()) -> Path:
    """The same archive as a program for archives packs it; `kept`: what stays as it is."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, old.read(name), zipfile.ZIP_STORED if name.endswith(kept) else zipfile.ZIP_DEFLATED)
    return target


@pytest.mark.parametrize("kept", [(), ("data.pkl",), ("data.pkl", "data/0"), ("data/0", "data/1")])
def test_an_archive_that_was_packed_by_hand(tmp_path: Path, kept: tuple[str, ...]):
    mark = tmp_path / "mark"
    path = save({"state_dict": TENSORS, "optimizer": Evil(mark)}, tmp_path / "plain.ckpt")
    packed = packed_by_hand(path, tmp_path / "packed.ckpt", kept)
    assert packed.stat().st_size < path.stat().st_size
    assert_tensors(packed)
    assert not mark.exists()


def test_a_view_is_saved_without_what_it_is_a_view_of(tmp_path: Path):
    write_ckpt(tmp_path / "view.ckpt", {"row": torch.zeros(1000, 1000)[0]})
    assert (tmp_path / "view.ckpt").stat().st_size < 10_000


def test_other_archives_are_refused_unopened(tmp_path: Path):
    module = tmp_path / "script.pt"
    script = "import sys, torch; torch.jit.save(torch.jit.script(torch.nn.Linear(1, 1)), sys.argv[1])"
    subprocess.run([sys.executable, "-W", "ignore", "-c", script, str(module)], check=True)
    with pytest.raises(BadFile, match="is a TorchScript program"):
        open_checkpoint(module)
    (tmp_path / "storages").write_text("0")
    with tarfile.open(tmp_path / "old.pt", "w") as archive:
        archive.add(tmp_path / "storages", "storages")
    with pytest.raises(BadFile, match="is a tar archive of before 2017"):
        open_checkpoint(tmp_path / "old.pt")
