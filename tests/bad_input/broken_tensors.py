"""Broken files of tensors: .safetensors, .npz, and what torch.save writes."""

import io
import json
import random
import struct
import zipfile
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from tests.bad_input.kinds import Broken, made, of_bytes


def _st(header: Any, body: bytes = b"", length: int | None = None) -> bytes:
    head = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(head) if length is None else length) + head + body


def safetensors(data: bytes, draw: random.Random) -> Iterator[Broken]:
    size = int.from_bytes(data[:8], "little")
    head, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    names = [name for name in head if name != "__metadata__"]
    for name, length in {"no header": 0, "a header of 100 MB": 10**8, "a header without end": 2**63}.items():
        yield made(name, partial(_st, head, body, length))
    yield Broken("100 MB of spaces as header", lambda path: path.write_bytes(_st(b"{}" + b" " * 99_000_000)))
    yield of_bytes("a header of brackets", _st(b'{"a":' + b"[" * 10**6))
    yield of_bytes("a header that is a list", _st([1, 2]))
    yield of_bytes("a header that is no UTF-8", _st(b'{"\xff": 1}'))
    yield of_bytes("no tensors", _st({}), usable=True)
    yield made("metadata that is a number", partial(_st, {**head, "__metadata__": 3}, body))
    yield made("metadata of numbers", partial(_st, {**head, "__metadata__": {"a": 1, "ss_datasets": []}}, body))
    yield made("metadata of brackets", partial(_st, {**head, "__metadata__": _BAD_METADATA}, body), usable=True)
    for _ in range(12):
        picked = draw.choice(names)
        changed = draw.choice(_HEAD_CHANGES)
        other = {**head, picked: {**head[picked], **changed}}
        yield made(f"{picked[-40:]}: {json.dumps(changed)[:60]}", partial(_st, other, body), usable=True)
    yield from _tensors(head, body, draw)


_READ = ("ss_datasets", "ss_bucket_info", "ss_network_args", "ss_network_dim", "ss_tag_frequency", "format")
_BAD_METADATA = dict.fromkeys(_READ, "[" * 10_000) | {
    "modelspec.prediction_type": "{" * 100,
    "ss_base_model_version": "\x1b[2J",
    "ss_network_alpha": "nan",
}
_HEAD_CHANGES: list[dict[str, Any]] = [
    {"dtype": "X99"}, {"dtype": None}, {"dtype": "I8"}, {"shape": [-1, 4]}, {"shape": "4"}, {"shape": [2**62, 2**62]},
    {"shape": [1.5]}, {"shape": None}, {"data_offsets": [0, 2**62]}, {"data_offsets": [-8, 0]}, {"data_offsets": [8]},
    {"data_offsets": [8, 0]}, {"data_offsets": "x"}, {"extra": 1},
]  # fmt: skip


def _tensors(head: dict[str, Any], body: bytes, draw: random.Random) -> Iterator[Broken]:
    """Whole files whose tensors are not what they should be."""
    from safetensors.numpy import save

    plain = {name: one for name, one in head.items() if name != "__metadata__"}
    if any(one["dtype"] not in ("F32", "I64", "F16") for one in plain.values()):
        return
    types = {"F32": np.float32, "I64": np.int64, "F16": np.float16}

    def read(name: str) -> np.ndarray:
        begin, end = plain[name]["data_offsets"]
        return np.frombuffer(body[begin:end], types[plain[name]["dtype"]]).reshape(plain[name]["shape"])

    told = {key: str(value) for key, value in head.get("__metadata__", {}).items()}

    def changed(name: str, change: Callable[[str], Any], usable: bool = True) -> Broken:
        def make(path: Path) -> None:
            pairs = {key: change(key) for key in plain}
            # A product of tensors without axes is no array.
            path.write_bytes(save({key: np.asarray(value) for key, value in pairs.items() if value is not None}, told))

        return Broken(name, make, usable)

    one, half = draw.choice(sorted(plain)), set(draw.sample(sorted(plain), len(plain) // 2))
    flat = np.ascontiguousarray
    yield changed("one tensor missing", lambda key: None if key == one else read(key))
    yield changed("half of the tensors missing", lambda key: None if key in half else read(key))
    yield changed("a tensor of NaN", lambda key: read(key) * np.float32("nan") if key == one else read(key))
    yield changed(
        "all tensors NaN", lambda key: np.full_like(read(key), np.nan) if read(key).dtype.kind == "f" else read(key)
    )
    yield changed(
        "all tensors infinite",
        lambda key: np.full_like(read(key), np.inf) if read(key).dtype.kind == "f" else read(key),
    )
    yield changed("a tensor transposed", lambda key: flat(read(key).T) if key == one else read(key))
    yield changed("all tensors transposed", lambda key: flat(read(key).T))
    yield changed("a tensor flat", lambda key: read(key).reshape(-1) if key == one else read(key))
    yield changed("all tensors flat", lambda key: read(key).reshape(-1))
    yield changed("all tensors scalars", lambda key: read(key).reshape(-1)[:1].reshape(()))
    yield changed("all tensors empty", lambda key: read(key).reshape(-1)[:0])
    yield changed("a tensor with one row more", lambda key: _longer(read(key)) if key == one else read(key))
    for kind in (np.float64, np.float16, np.int8, np.uint8, np.bool_, np.int64):
        yield changed(f"all tensors {kind.__name__}", lambda key, kind=kind: read(key).astype(kind))
    yield Broken(
        "a thousand tensors more",
        lambda path: path.write_bytes(
            save({key: read(key) for key in plain} | {f"extra.{n}": np.zeros(1, np.float32) for n in range(1000)}, told)
        ),
        True,
    )
    strange = ("", "\n", "x" * 5000, "../../x", "\x1b[2J", "model.diffusion_model.", "lora_unet_")
    yield Broken(
        "tensors of strange names",
        lambda path: path.write_bytes(save({name: np.zeros((2, 2), np.float32) for name in strange})),
        True,
    )


def _longer(array: np.ndarray) -> np.ndarray:
    return np.concatenate([np.atleast_1d(array), np.atleast_1d(array)[:1]])


def arrays(data: bytes, draw: random.Random) -> Iterator[Broken]:
    with np.load(io.BytesIO(data)) as archive:
        good = dict(archive)

    def packed(made: dict[str, Any], **options: Any) -> bytes:
        file = io.BytesIO()
        (np.savez_compressed if options else np.savez)(file, **made)
        return file.getvalue()

    def changed(change: Callable[[np.ndarray], Any]) -> bytes:
        return packed({name: change(one) if one.dtype.kind == "f" else one for name, one in good.items()})

    for name, change in {
        "NaN inside": lambda one: one * np.float32("nan"),
        "transposed": lambda one: one.T,
        "flat": lambda one: one.reshape(-1),
        "empty": lambda one: one.reshape(-1)[:0],
        "float64": lambda one: one.astype(np.float64),
        "text": lambda one: one.astype(str),
        "complex": lambda one: one.astype(complex),
        "objects": lambda one: np.array([{"a": 1}], dtype=object),
        "one channel": lambda one: one[:1],
    }.items():
        yield of_bytes(f"arrays: {name}", changed(change), usable=True)
    for name in good:
        rest = {key: one for key, one in good.items() if key != name}
        yield of_bytes(f"without {name}", packed(rest), usable=True)
        yield of_bytes(f"{name} is text", packed({**rest, name: np.array("x" * 1000)}), usable=True)
        yield of_bytes(f"{name} is an object", packed({**rest, name: np.array([{}], dtype=object)}), usable=True)
    yield of_bytes("no arrays", packed({}), usable=True)
    yield Broken("a bomb of 4 GB", lambda path: path.write_bytes(_npz_bomb(next(iter(good)), good)), usable=True)
    heads = (b"{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999,), }", b"x", b"{" * 5000, b"[].__class__")
    for head in heads:
        npy = b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head
        yield of_bytes(f"an array's head: {head[:30].decode()}", _zipped({f"{name}.npy": npy for name in good}), True)


def _npz_bomb(name: str, good: dict[str, Any]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for other in good:
            head = b"{'descr': '<f4', 'fortran_order': False, 'shape': (4, 16000, 16000), }"
            with archive.open(f"{other}.npy", "w", force_zip64=True) as stream:
                stream.write(b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
                for _ in range(4000 if other == name else 1):
                    stream.write(bytes(10**6))
    return file.getvalue()


def _zipped(files: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return file.getvalue()


def pickled(data: bytes, draw: random.Random) -> Iterator[Broken]:
    import pickle

    import torch

    circle: dict[str, Any] = {}
    circle["state_dict"] = circle
    deep: list[Any] = []
    for _ in range(200):
        deep = [deep]
    for name, value in {
        "an empty dict": {}, "a list": [1, 2], "None": None, "a number": 3, "a tensor": torch.zeros(3),
        "a dict in a circle": circle, "nested lists": deep, "integers as keys": {1: torch.zeros(2), (2, 3): 4},
        "no tensors": {"state_dict": {"a": "b"}}, "NaN": {"state_dict": {"a": torch.tensor(float("nan"))}},
        "a sparse tensor": {"a": torch.eye(3).to_sparse()},
    }.items():  # fmt: skip
        for zipped in (True, False):
            file = io.BytesIO()
            torch.save(value, file, _use_new_zipfile_serialization=zipped)
            yield of_bytes(f"{name}, {'zip' if zipped else 'older form'}", file.getvalue(), usable=True)
        yield of_bytes(f"{name}, plain pickle", pickle.dumps(None if isinstance(value, torch.Tensor) else 3), True)
    yield of_bytes("a memo that is not there", b"\x80\x02h\x05.")
    yield of_bytes("a bytes object of 8 EB", b"\x80\x04\x8e" + b"\xff" * 7 + b"\x7f.")
    yield of_bytes("a million marks", b"\x80\x02" + b"(" * 10**6 + b".")
    yield of_bytes("a million tuples", b"\x80\x02)" + b"\x85" * 10**6 + b".")
    if zipfile.is_zipfile(io.BytesIO(data)):
        yield Broken("a zip bomb", lambda path: path.write_bytes(_zip_bomb(data)))
        yield of_bytes("a program of torch's", _zipped({"a/constants.pkl": b"\x80\x02).", "a/data.pkl": b"\x80\x02}."}))
        yield of_bytes("deflated", _zipped(_unzipped(data), zipfile.ZIP_DEFLATED), usable=True)
        yield of_bytes("without its numbers", _zipped({n: d for n, d in _unzipped(data).items() if "/data/" not in n}))
        yield of_bytes("without its index", _zipped({n: d for n, d in _unzipped(data).items() if "data.pkl" not in n}))


def _unzipped(data: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _zip_bomb(data: bytes) -> bytes:
    """The archive with 4 GB of spaces before what its pickle says, which take 4 MB."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in _unzipped(data).items():
            if name.endswith("data.pkl"):
                with archive.open(name, "w", force_zip64=True) as stream:
                    stream.write(b"\x80\x04")
                    # An empty text and its removal, again and again: the pickle stays a good one.
                    for _ in range(4000):
                        stream.write(b"N0" * 500_000)
                    stream.write(content[2:])
            else:
                archive.writestr(name, content)
    return file.getvalue()
