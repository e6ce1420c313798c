"""Files of tensors, .safetensors and .ckpt: reading only what is needed, and writing whole or not at all."""

import io
import sys
import tarfile
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Protocol

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from sd_scripts.library.errors import BadFile
from sd_scripts.library.io import pickles
from sd_scripts.library.io.atomic import replacing
from sd_scripts.library.io.headers import PICKLED
from sd_scripts.library.io.mapping import (
    Bytes,
    MappedBytes,
    Place,
    ReadBytes,
    safetensors_places,
    stored_pieces,
    tensor_at,
)
from sd_scripts.library.io.tensor_file import HashedFile, write_tensors

CPU = torch.device("cpu")


class Checkpoint(Protocol):
    """An open file of tensors. Its tensors stay in the file until they are used, where the format can do that."""

    path: Path
    metadata: dict[str, str]
    shapes: dict[str, tuple[int, ...]]
    """{name of a tensor: its shape}."""

    def read(self, prefix: str = "") -> dict[str, Tensor]:
        """{name without the prefix: tensor} of all tensors whose name begins with the prefix."""

    def tensor(self, name: str) -> Tensor:
        """One tensor."""


def open_checkpoint(path: str | Path, device: torch.device = CPU, mapped: bool = True) -> Checkpoint:
    """Opens a .safetensors file, or a pickle (.ckpt, .pt, .pth, .bin) of which nothing but tensors is read.

    Tensors are read straight onto `device`. `mapped`: a .safetensors file is mapped into memory, so that its tensors
    are read when they are used; else they are read when they are asked for, one after the other, which is quicker where
    files lie on slow or remote drives.

    Errors: BadFile, when it is missing, broken, or no such file.
    """
    path = Path(path)
    if not path.is_file():
        raise BadFile(f"{path}: there is no such file. Name a .safetensors or .ckpt file.")
    if path.suffix.lower() in PICKLED:
        return _Pickled(path, device)
    return _Safetensors(path, device, mapped)


def read_pickle(path: Path) -> Any:
    """What torch.save has written: tensors and plain values as they were, all else inert. Errors: BadFile."""
    if not path.is_file():
        raise BadFile(f"{path}: there is no such file.")
    return _unpickle(path)


class _Safetensors:
    def __init__(self, path: Path, device: torch.device, mapped: bool) -> None:
        self.path = path
        self._device = device
        try:
            with safe_open(path, "pt") as file:
                # It looks at the whole header: whether places are within the file, and whether they overlap.
                self.metadata: dict[str, str] = file.metadata() or {}
            self._places = safetensors_places(path)
            self._bytes: Bytes = MappedBytes(path) if mapped else ReadBytes(path)
        except (SafetensorError, OSError, ValueError) as error:
            raise BadFile(
                f"{path} is no .safetensors file, or it is incomplete ({error}). Download or copy it again."
            ) from error
        self.shapes = {name: place.shape for name, place in self._places.items()}

    def read(self, prefix: str = "") -> dict[str, Tensor]:
        names = [name for name in self.shapes if name.startswith(prefix)]
        # In the file's order, which is read fastest.
        names.sort(key=lambda name: self._places[name].begin)
        return {name[len(prefix) :]: self.tensor(name) for name in names}

    def tensor(self, name: str) -> Tensor:
        return tensor_at(self._bytes, self._places[name]).to(self._device)


class _Pickled:
    metadata: dict[str, str] = {}

    def __init__(self, path: Path, device: torch.device) -> None:
        self.path = path
        self._device = device
        self._tensors = dict(_tensors(_unpickle(path)))
        if not self._tensors:
            raise BadFile(f"{path} holds no tensors, so it is no model and no network. Choose another file.")
        self.shapes = {name: tuple(tensor.shape) for name, tensor in self._tensors.items()}

    def read(self, prefix: str = "") -> dict[str, Tensor]:
        return {name[len(prefix) :]: self.tensor(name) for name in self._tensors if name.startswith(prefix)}

    def tensor(self, name: str) -> Tensor:
        return self._tensors[name].to(self._device)


def write_safetensors(
    path: Path,
    tensors: Mapping[str, Tensor],
    metadata: Mapping[str, str] | None = None,
    dtypes: Mapping[str, torch.dtype] | None = None,
) -> str:
    """Writes tensors with metadata in the header; the file's SHA-256.

    `dtypes`: the number formats of those that are not written in their own. Errors: BadFile.
    """
    with replacing(path) as beside:
        return write_tensors(beside, tensors, metadata or {}, dtypes or {})


def write_ckpt(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, int] | None = None) -> str:
    """Writes tensors as `{"state_dict": {name: tensor}}`, with facts such as global_step beside; the file's SHA-256.

    Errors: BadFile.
    """
    return write_pickle(path, {"state_dict": _own(tensors), **(facts or {})})


def write_bin(path: Path, tensors: Mapping[str, Tensor]) -> str:
    """Writes tensors as diffusers' .bin files hold them: `{name: tensor}`; the file's SHA-256. Errors: BadFile."""
    return write_pickle(path, _own(tensors))


def write_pickle(path: Path, value: Any) -> str:
    """Writes a value as torch.save does; the file's SHA-256. Errors: BadFile."""
    # Into an open file: torch.save writes a path's own name, here a random one, into the archive.
    with _writing(path) as beside, HashedFile(beside) as file:
        torch.save(value, file)
        return file.sha256()


def write_older_pickle(path: Path, value: Any) -> None:
    """The same in torch's form of before 2020: programs that look through a file's archive refuse a newer one's.

    Errors: BadFile.
    """
    with _writing(path) as beside, open(beside, "wb") as file:
        torch.save(value, file, _use_new_zipfile_serialization=False)


@contextmanager
def _writing(path: Path) -> Iterator[Path]:
    with replacing(path) as beside:
        try:
            yield beside
        except RuntimeError as error:  # How torch says that the disk is full.
            raise BadFile(f"Cannot write {path}: {error}. Choose a place with enough free space.") from error


def _own(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Tensors that own all of their memory: a view would take the whole it is a view of into the file."""
    owned = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().to("cpu").contiguous()
        whole = tensor.untyped_storage().nbytes() == tensor.nbytes
        owned[name] = tensor if whole else tensor.clone()
    return owned


def _unpickle(path: Path) -> Any:
    zipped = zipfile.is_zipfile(path)
    if not zipped and tarfile.is_tarfile(path):
        raise BadFile(f"{path} is a tar archive of before 2017, which is not read. Save it again with a newer program.")
    try:
        if zipped:
            return _unzip(path)
        return torch.load(path, map_location="cpu", pickle_module=_module, weights_only=False)
    except BadFile:
        raise
    except Exception as error:  # A broken pickle, or archive, can fail in any way at all.
        raise pickles.no_checkpoint(path) from error


def _unzip(path: Path) -> Any:
    """What torch.save has written since 2020: an archive of a pickle, and of the tensors' bytes as they are."""
    with zipfile.ZipFile(path) as archive:
        if any(name.endswith("constants.pkl") for name in archive.namelist()):
            raise BadFile(f"{path} is a TorchScript program, not a checkpoint of weights.")
        pickles.check_archive(archive)
        names = archive.namelist()
    pieces = stored_pieces(path)
    pickled = next(name for name in names if name.rpartition("/")[2] == "data.pkl")
    folder = pickled.removesuffix("data.pkl")
    file = MappedBytes(path)
    order = _whole(file, pieces, f"{folder}byteorder")
    packed = any(name.startswith(folder) and name not in pieces for name in names)
    # Packed by hand, or written where bytes go the other way round: torch reads it, as a copy.
    if packed or (order and order != sys.byteorder.encode()):
        return torch.load(path, map_location="cpu", pickle_module=_module, weights_only=False)
    unpickler = _Unpickler(io.BytesIO(_whole(file, pieces, pickled)))
    storages: dict[str, Any] = {}

    def storage(pid: Any) -> Any:
        _, kind, key, _, count = pid
        if key not in storages:
            dtype = torch.uint8 if kind is torch.UntypedStorage else kind._dtype
            begin, size = pieces[f"{folder}data/{key}"]
            if size < count * dtype.itemsize:
                raise ValueError(f"the storage {key} is cut off")
            held = tensor_at(file, Place(begin, torch.uint8, (size,))).untyped_storage()
            storages[key] = torch.storage.TypedStorage(wrap_storage=held, dtype=dtype, _internal=True)
        return storages[key]

    unpickler.persistent_load = storage  # type: ignore[method-assign]
    return unpickler.load()


def _whole(file: MappedBytes, pieces: dict[str, tuple[int, int]], name: str) -> bytes:
    return file.piece(*pieces[name]).numpy().tobytes() if name in pieces else b""


def _tensors(loaded: Any) -> Iterator[tuple[str, Tensor]]:
    if not isinstance(loaded, dict):
        return
    inner = loaded.get("state_dict")
    for name, value in (inner if isinstance(inner, dict) else loaded).items():
        if isinstance(value, Tensor):
            yield str(name), value.detach()


class HeldParameters:
    """Stands for torch's ParameterDict, in which older embeddings hold their tensors."""

    parameters: dict[str, Tensor]

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.parameters = dict(state["_parameters"])


def _allowed() -> dict[tuple[str, str], Any]:
    storages = [name for name in dir(torch) if name.endswith("Storage") and not name.startswith("_")]
    dtypes = [name for name in dir(torch) if isinstance(getattr(torch, name), torch.dtype)]
    rebuild = ["_rebuild_tensor", "_rebuild_tensor_v2", "_rebuild_parameter"]
    return {
        **pickles.SafeUnpickler.allowed,
        **{("torch", name): getattr(torch, name) for name in [*storages, *dtypes, "Size"]},
        ("torch.storage", "UntypedStorage"): torch.UntypedStorage,
        ("torch.nn.modules.container", "ParameterDict"): HeldParameters,
        **{("torch._utils", name): getattr(torch._utils, name) for name in rebuild},
    }


class _Unpickler(pickles.SafeUnpickler):
    allowed = _allowed()


def _load(file: Any, **options: Any) -> Any:
    return _Unpickler(file, **options).load()


_module = SimpleNamespace(__name__="tensors_only", Unpickler=_Unpickler, load=_load)
