"""Arguments for every endpoint there is, made from what it declares: a new one is attacked as well."""

import inspect
import types
import typing
from collections.abc import Callable, Iterator
from typing import Any

from kohya_gui.api import Studio

# What leads further into an endpoint than any other text would.
_KNOWN = {"stage": "train", "slot": "caption", "request": "stop", "to": "first", "action": "status", "name": "x"}


def parameters(endpoint: str) -> dict[str, inspect.Parameter]:
    """The parameters of an endpoint."""
    found = dict(inspect.signature(getattr(Studio, endpoint)).parameters)
    del found["self"]
    return found


def usual(endpoint: str, without: str) -> dict[str, Any]:
    """The arguments that an endpoint needs besides one."""
    needed = {name: p for name, p in parameters(endpoint).items() if p.default is p.empty and name != without}
    return {name: _KNOWN.get(name) or _plain(p.annotation) for name, p in needed.items()}


def with_text(kind: Any, text: str) -> Iterator[Any]:
    """Values of a type, of every shape that it may have, with a text at all places where there may be one."""
    origin, parts = typing.get_origin(kind), typing.get_args(kind)
    if kind is str:
        yield text
    elif origin is list:
        yield from ([one] for one in with_text(parts[0], text))
    elif origin is dict:
        names = (text, "paths", "pictures", "work_dir", "model", "name", "train_data_dir", "text", "slot", "find")
        yield from (dict.fromkeys(names, one) for one in with_text(parts[1], text))
    elif kind is Any:
        yield text
    elif origin is types.UnionType:
        for part in parts:
            yield from with_text(part, text)


def everywhere(make: Callable[[Any], Iterator[Any]]) -> Iterator[tuple[str, str, Any]]:
    """(endpoint, argument, value) for all values that `make` gives for the types of all arguments."""
    for endpoint in Studio.ENDPOINTS:
        for name, parameter in parameters(endpoint).items():
            yield from ((endpoint, name, value) for value in make(parameter.annotation))


def _plain(kind: Any) -> Any:
    origin = typing.get_origin(kind)
    if origin is types.UnionType:
        return _plain(typing.get_args(kind)[0])
    return {str: "x", int: 0, float: 0.0, bool: False, list: [], dict: {}}[origin or kind]
