"""Files of hypernetworks: AUTOMATIC1111's .pt, read without running what it names, and .safetensors with a header.

.pt            {768: (state of the keys' module, of the values'), ..., "name": ..., "layer_structure": ..., ...}
.safetensors   tensors 768.k.linear.0.weight, 768.v.linear.0.weight, ...; the other facts as JSON under "hypernetwork"
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from sd_scripts.library.errors import BadFile, BadOption
from sd_scripts.library.io.checkpoints import (
    open_checkpoint,
    read_pickle,
    write_older_pickle,
    write_safetensors,
)
from sd_scripts.library.io.headers import PICKLED
from sd_scripts.library.io.reading import parse_json
from sd_scripts.library.networks.hypernetwork import ACTIVATIONS, Hypernetwork
from sd_scripts.library.networks.hypernetwork_shape import shape_of

_HEADER_KEY = "hypernetwork"
_PARTS = ("k", "v")
# Names of the two layers of the first files, which had no activation.
_OLDER = {"linear1.": "linear.0.", "linear2.": "linear.1."}

Pairs = dict[int, tuple[Mapping[str, Tensor], Mapping[str, Tensor]]]


def load_hypernetwork(path: str | Path) -> Hypernetwork:
    """A hypernetwork on the CPU in its file's dtype, in evaluation mode and without gradients: ready for `attach`.

    Errors: BadFile.
    """
    path = Path(path)
    pairs, facts = _read_pickled(path) if path.suffix.lower() in PICKLED else _read_safetensors(path)
    if not pairs:
        raise BadFile(f"{path} is no hypernetwork: it has modules for no width such as 768. Choose another file.")
    try:
        shape = shape_of(facts)
        if shape.activation not in ACTIVATIONS:
            raise ValueError(f'activation_func "{shape.activation}" is not known')
        with torch.device("meta"):  # The weights come from the file.
            made = Hypernetwork(pairs, shape, str(facts.get("name") or path.stem), int(facts.get("step") or 0))
        made.load_state_dict(_state(pairs), assign=True)
    except (ValueError, TypeError, ArithmeticError, RuntimeError, BadOption) as error:
        reason = str(error).partition("\n")[0]
        raise BadFile(f"{path} is a hypernetwork that cannot be read: {reason}. Choose another file.") from error
    return made.eval().requires_grad_(False)


def save_hypernetwork(
    path: Path,
    hypernetwork: Hypernetwork,
    origin: Mapping[str, Any],
    dtype: torch.dtype | None = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Writes a .pt or .safetensors file in `dtype` (None: its own).

    `origin`: sd_checkpoint, which is the base model's SHA-256 up to its tenth letter, and sd_checkpoint_name; or None.
    `metadata` goes into the header of .safetensors. Errors: BadFile.
    """
    facts = {"step": hypernetwork.step, "name": hypernetwork.name, **hypernetwork.shape.facts(), **origin}
    pairs = {
        width: tuple(_held(module, dtype) for module in _modules(hypernetwork, width)) for width in hypernetwork.widths
    }
    if path.suffix.lower() in PICKLED:
        write_older_pickle(path, {**pairs, **facts})
        return
    tensors = {
        f"{width}.{part}.{name}": tensor
        for width, pair in pairs.items()
        for part, state in zip(_PARTS, pair, strict=True)
        for name, tensor in state.items()
    }
    write_safetensors(path, tensors, {**(metadata or {}), _HEADER_KEY: json.dumps(facts)})


def _modules(hypernetwork: Hypernetwork, width: int) -> list[Any]:
    return [hypernetwork.pair(width)[part] for part in _PARTS]


def _held(module: Any, dtype: torch.dtype | None) -> dict[str, Tensor]:
    return {name: tensor.detach().to("cpu", dtype).contiguous() for name, tensor in module.state_dict().items()}


def _read_pickled(path: Path) -> tuple[Pairs, dict[str, Any]]:
    found = read_pickle(path)
    if not isinstance(found, dict):
        return {}, {}
    pairs = {width: _states(path, width, pair) for width, pair in found.items() if isinstance(width, int)}
    return pairs, {key: value for key, value in found.items() if isinstance(key, str)}


def _states(path: Path, width: int, pair: Any) -> Any:
    if isinstance(pair, tuple | list) and len(pair) >= 2:
        states = [_tensors(state) for state in pair[:2]]
        if all(states):
            return tuple(states)
    raise BadFile(f"{path} is no hypernetwork: at {width} it has no two sets of weights. Choose another file.")


def _tensors(state: Any) -> dict[str, Tensor]:
    if not isinstance(state, dict):
        return {}
    return {_newer(str(name)): tensor.detach() for name, tensor in state.items() if isinstance(tensor, Tensor)}


def _newer(name: str) -> str:
    start = next((start for start in _OLDER if name.startswith(start)), "")
    return _OLDER.get(start, "") + name.removeprefix(start)


def _read_safetensors(path: Path) -> tuple[Pairs, dict[str, Any]]:
    file = open_checkpoint(path)
    try:
        facts = parse_json(file.metadata.get(_HEADER_KEY, ""))
    except ValueError:
        facts = None
    if not isinstance(facts, dict):
        return {}, {}
    widths = sorted({int(name.partition(".")[0]) for name in file.shapes if name.partition(".")[0].isdecimal()})
    return {width: (file.read(f"{width}.k."), file.read(f"{width}.v.")) for width in widths}, facts


def _state(pairs: Pairs) -> dict[str, Tensor]:
    return {
        f"pairs.{width}.{part}.{name}": tensor
        for width, pair in pairs.items()
        for part, state in zip(_PARTS, pair, strict=True)
        for name, tensor in state.items()
    }
