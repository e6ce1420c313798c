"""Files that would run something where they are read carelessly: each makes a file, if it gets its way."""

import io
import json
import pickle
import struct
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

MARK = "ran"
"""The file that is made in the working folder by whatever runs."""
_CODE = f"open({MARK!r}, 'w').close()"


class _Runs:
    """Pickled, it asks to be rebuilt by a call."""

    def __init__(self, call: Callable[..., Any] = exec, *given: Any) -> None:
        self._made = call, given or (_CODE,)

    def __reduce__(self) -> Any:
        return self._made


def evil_pickles() -> dict[str, bytes]:
    """{name: content} of what may stand in the place of a .ckpt, .pt, .pth or .bin file."""
    import os

    import torch

    found = {f"plain, protocol {number}": pickle.dumps(_Runs(), number) for number in (0, 2, 4, 5)}
    found["a shell"] = pickle.dumps(_Runs(os.system, f"touch {MARK}"))
    found["an opcode of old"] = b"c__builtin__\nexec\n(S'" + _CODE.encode().replace(b"'", b'"') + b"'\ntR."
    found["inst"] = b"(S'" + _CODE.encode().replace(b"'", b'"') + b"'\ni__builtin__\nexec\n."
    found["by attributes"] = b"\x80\x04\x8c\x08builtins\x8c\x04exec\x93\x8c" + _short(_CODE) + b"\x85R."
    inside = {
        "as a tensor": {"state_dict": {"model.diffusion_model.out.0.weight": _Runs()}},
        "as a key": {"state_dict": {}, "hyper_parameters": _Runs()},
        "deep inside": {"state_dict": {"a": torch.zeros(2), "b": [{"c": (_Runs(),)}]}},
        "as an embedding": {"string_to_token": {"*": 265}, "string_to_param": {"*": _Runs()}, "name": _Runs()},
        "as a hypernetwork": {768: (_Runs(), _Runs()), "name": "x", "layer_structure": _Runs()},
        "as an optimizer's state": {"state": {0: {"exp_avg": _Runs()}}, "param_groups": [{"lr": _Runs()}]},
        "through eval": {"a": _Runs(eval, f"__import__('pathlib').Path({MARK!r}).touch()")},
    }
    for name, value in inside.items():
        for zipped in (True, False):
            file = io.BytesIO()
            torch.save(value, file, _use_new_zipfile_serialization=zipped)
            found[f"{name}, {'zip' if zipped else 'older form'}"] = file.getvalue()
    found["in the persistent id"] = _with_persistent_id()
    found["in an array of numpy's"] = pickle.dumps(np.array([_Runs()], dtype=object))
    return found


def _short(text: str) -> bytes:
    return bytes([len(text)]) + text.encode()


def _with_persistent_id() -> bytes:
    """An archive whose storage has a call for its type, as torch's reader asks for that before anything else."""
    code = b"\x80\x02cbuiltins\nexec\nX" + struct.pack("<I", len(_CODE)) + _CODE.encode() + b"\x85R"
    told = b"(X\x07\x00\x00\x00storage" + code[2:] + b"X\x01\x00\x00\x000X\x03\x00\x00\x00cpuK\x01tQ."
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("archive/data.pkl", b"\x80\x02" + told)
        archive.writestr("archive/version", "3\n")
        archive.writestr("archive/data/0", bytes(4))
    return file.getvalue()


def evil_npz(names: tuple[str, ...]) -> bytes:
    """Arrays of objects, which numpy pickles, under the names that a reader looks for."""
    file = io.BytesIO()
    np.savez(file, **{name: np.array([_Runs()], dtype=object) for name in names})
    return file.getvalue()


def evil_keras(good: bytes) -> bytes:
    """A .keras file in which a layer is a function of Python's, marshalled as keras does."""
    file = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(good)) as old, zipfile.ZipFile(file, "w") as new:
        for name in old.namelist():
            data = old.read(name)
            new.writestr(name, json.dumps(_with_lambda(json.loads(data))) if name == "config.json" else data)
    return file.getvalue()


def evil_h5(good: bytes) -> bytes:
    """The same as .h5."""
    import h5py

    held = io.BytesIO(good)
    with h5py.File(held, "r+") as file:
        file.attrs["model_config"] = json.dumps(_with_lambda(json.loads(file.attrs["model_config"])))
    return held.getvalue()


def _with_lambda(config: dict[str, Any]) -> dict[str, Any]:
    import base64
    import marshal

    code = compile(_CODE, "layer", "exec")
    function = {"class_name": "__lambda__", "config": {"code": base64.b64encode(marshal.dumps(code)).decode()}}
    layers = config["config"]["layers"]
    evil = json.loads(json.dumps(layers[-1]))
    evil |= {"class_name": "Lambda", "module": "keras.layers", "registered_name": None}
    evil["config"] = {"name": "evil", "trainable": True, "function": function, "arguments": {}}
    layers[-1] = evil
    return config


def evil_onnx(good: bytes, outside: str) -> bytes:
    """A model whose weights are said to lie in another file, outside its folder."""
    import onnx

    model = onnx.load_from_string(good)
    tensor = model.graph.initializer[0]
    tensor.ClearField("raw_data")
    tensor.ClearField("float_data")
    tensor.data_location = onnx.TensorProto.EXTERNAL
    entry = tensor.external_data.add()
    entry.key, entry.value = "location", outside
    return bytes(model.SerializeToString())


def evil_of(kind: str, good: Path) -> Iterator[tuple[str, bytes]]:
    """(name, content) of everything that fits a place of a kind (see slots.py)."""
    if kind == "pickle":
        yield from evil_pickles().items()
    elif kind == "npz":
        with np.load(good) as archive:
            names = tuple(archive)
        yield "arrays of objects", evil_npz(names)
    elif good.suffix == ".keras":
        yield "a layer of Python", evil_keras(good.read_bytes())
    elif good.suffix == ".onnx":
        for outside in ("../../../../../../etc/passwd", "/etc/passwd", "../secret"):
            yield f"weights in {outside}", evil_onnx(good.read_bytes(), outside)
    elif good.suffix == ".h5":
        yield "a layer of Python", evil_h5(good.read_bytes())
